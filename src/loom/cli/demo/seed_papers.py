"""The sample practice's letterheads, and what its clients paid in advance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.cli.demo import people

if TYPE_CHECKING:
    from loom.cli.demo.seed import Sample


async def letterheads(sample: Sample) -> None:
    """Where each practice wants its money."""
    for coach, details in (
        (people.MAYA, "בנק 10, סניף 800, חשבון 123456"),
        (people.DANIEL, "Sort code 00-00-00, account 12345678"),
    ):
        await sample.as_user(coach, "set_letterhead", details=details)


async def packages(sample: Sample) -> None:
    """One on offer, and one that a client is half through."""
    single = sample.templates["פגישת אימון אישית"]
    await sample.as_user(
        people.MAYA, "offer_package", template_id=single, title="כרטיסיית 10 פגישות", price_cents=340000
    )
    await sample.as_user(
        people.MAYA,
        "give_credits",
        client_id=sample.users[people.YAEL.email],
        template_id=single,
        reason="יתרה מהמערכת הקודמת",
    )
