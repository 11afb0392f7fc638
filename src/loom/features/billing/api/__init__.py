"""Routes of billing."""

from fastapi import APIRouter

from loom.features.billing.api import accounts, alerts, holds, intents, invoices, methods, payments, webhooks

router = APIRouter()
for part in (invoices, intents, holds, payments, methods, accounts, alerts, webhooks):
    router.include_router(part.router)
