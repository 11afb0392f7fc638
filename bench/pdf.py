"""Budget: a document becomes a PDF in less than 150 ms, whatever its language; the baseline is a page with one word.

    .venv/bin/python -m bench.pdf [--rounds N]

The typesetter keeps what it has set before, so each document of a measure has a number and lines of its own.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from bench.verdict import machine, say
from loom.features.documents.schemas import Document, DocumentLine, Language
from loom.features.documents.service import set_pdf
from loom.providers.typesetter import typeset

BUDGET_MS = 150.0
AT = datetime(2026, 11, 25, tzinfo=UTC)
WORD = b'#set document(title: "x"); #set text(font: "Arimo"); #json(bytes(sys.inputs.data)).word'
numbers = itertools.count(1)


def document(lines: int, language: Language) -> Document:
    """A document that was never set before."""
    number = next(numbers)
    said = [
        DocumentLine(
            description=f"אימון Coaching {number}.{at} (60 min)", quantity=1, amount_cents=35000 + number,
            discount_cents=0, total_cents=35000 + number,
        )
        for at in range(lines)
    ]  # fmt: skip
    return Document(
        id=UUID(int=number),
        practice_id=UUID(int=1),
        layout=1,
        language=language,
        timezone="Asia/Jerusalem",
        country="IL",
        tax_scheme="registered",
        kind="tax_invoice",
        number=f"TAX-2026-{number:04}",
        currency="ILS",
        issued_at=AT,
        drafted_at=AT,
        due_date=AT,
        voided_at=None,
        seller_name="דנה לוי",
        tax_id="123456782",
        address="הרצל 5, תל אביב",
        phone="+972-50-1234567",
        email="dana@example.com",
        footer=None,
        transfer_details="בנק 10, סניף 800",
        buyer_name=f"Noa {number}",
        buyer_email=None,
        buyer_tax_id=None,
        buyer_address=None,
        notes=None,
        allocation_number=None,
        tax_inclusive=False,
        tax_on_payment=False,
        credit_of=None,
        paid=None,
        discount_cents=0,
        subtotal_cents=35000 * lines,
        tax_rate_bp=1800,
        tax_cents=6300 * lines,
        total_cents=41300 * lines,
        taxed_elsewhere_cents=0,
        untaxed_cents=0,
        lines=said,
    )


def word() -> None:
    typeset(WORD, {"word": f"word {next(numbers)}"}, made_at=AT)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds by the clock, and of the processor: on a busy machine the two differ."""
    begun, spent = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - begun) * 1000, (time.process_time() - spent) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    measures: dict[str, Callable[[], object]] = {"one word (baseline)": word}
    for count, language in itertools.product((1, 4, 200), ("en", "he")):
        measures[f"{count} lines, {language}"] = lambda count=count, language=language: set_pdf(
            document(count, language), None
        )
    say(machine())
    say(f"the first of a process, fonts to be read: {timed(lambda: set_pdf(document(4, 'he'), None))[0]:.0f} ms")
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in measures}
    for _ in range(asked.rounds):
        for name, work in measures.items():
            figures[name].append(timed(work))
    baseline = statistics.median(wall for wall, _ in figures["one word (baseline)"])
    held = True
    for name, values in figures.items():
        wall, own = (statistics.median(column) for column in zip(*values, strict=True))
        held = held and wall < BUDGET_MS
        say(f"{name:<20} median {wall:6.1f} ms ({own:5.1f} ms of processor), {wall / baseline:5.1f} times the baseline")
    say(f"budget {BUDGET_MS:.0f} ms: {'held' if held else 'MISSED'}")
    sys.exit(not held)


if __name__ == "__main__":
    main()
