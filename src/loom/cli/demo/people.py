"""Who is in the sample practice. Everybody signs in with the same password; the accounts are for trying Loom only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the sample practice; `coaches` are the coaches' e-mail addresses."""

    email: str
    role: Literal["client", "coach", "admin"]
    first_name: str
    last_name: str
    language: Literal["en", "he"]
    timezone: str
    coaches: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"


MAYA = Account("maya@example.org", "coach", "מאיה", "כהן", "he", "Asia/Jerusalem")
DANIEL = Account("daniel@example.org", "coach", "Daniel", "Reed", "en", "Europe/London")
ADMIN = Account("admin@example.org", "admin", "Ruth", "Adler", "en", "Asia/Jerusalem")

NOA = Account("noa@example.org", "client", "נועה", "לוי", "he", "Asia/Jerusalem", (MAYA.email,))
OMER = Account("omer@example.org", "client", "עומר", "כץ", "he", "Asia/Jerusalem", (MAYA.email,))
YAEL = Account("yael@example.org", "client", "יעל", "מזרחי", "he", "Asia/Jerusalem", (MAYA.email,))
SARAH = Account("sarah@example.org", "client", "Sarah", "Klein", "en", "America/New_York", (MAYA.email,))
JAMES = Account("james@example.org", "client", "James", "Carter", "en", "Europe/London", (DANIEL.email,))
PRIYA = Account("priya@example.org", "client", "Priya", "Shah", "en", "Asia/Kolkata", (DANIEL.email, MAYA.email))

COACHES = (MAYA, DANIEL)
CLIENTS = (NOA, OMER, YAEL, SARAH, JAMES, PRIYA)
EVERYBODY = (*COACHES, ADMIN, *CLIENTS)
