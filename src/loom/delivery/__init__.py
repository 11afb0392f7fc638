"""Carries out what people are told outside of the app, by mail and on their devices, whatever it is about."""

from __future__ import annotations

from loom.delivery.courier import CHANNEL, Courier
from loom.delivery.letters import Wording, as_mail, as_notice
from loom.delivery.parcels import Language, Lease, Outcome, Parcel

__all__ = ["CHANNEL", "Courier", "Language", "Lease", "Outcome", "Parcel", "Wording", "as_mail", "as_notice"]
