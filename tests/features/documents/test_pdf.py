"""PDFs: what they say, in which direction, and that they are the same each time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any, get_args

import pytest

from loom.core.money import Money, currencies
from loom.features.documents.layout import filled, free
from loom.features.documents.schemas import Kind, Language, MoneyIn
from loom.features.documents.service import set_pdf
from loom.features.documents.words import KINDS, LABELS, METHODS
from loom.providers.typesetter import PictureRefusedError, check_picture, has_glyph, printable, typeset
from tests.features.documents.papers import ISSUED, paper
from tests.support.pdf import letters_of, pages_of, picture_of, place_of, text_of

LANGUAGES: list[Language] = ["en", "he"]
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("count", "pages"), [(1, 1), (4, 1), (200, 6)])
def test_all_lines_are_there_and_hebrew_is_in_logical_order(language: Language, count: int, pages: int) -> None:
    document = paper(count)
    content = set_pdf(document, None, language)
    text = text_of(content)
    assert pages_of(content) == pages
    assert text.count("350.00") == 2 * count + (count == 1)
    assert KINDS[language]["tax_invoice"] in text
    assert "דנה לוי" in text
    if count > 1:
        assert "אימון אישי" in text
    total = Money(document.total_cents, "ILS").text(language)
    assert total.strip("\u20aa\N{NO-BREAK SPACE}") in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mixed_line_reads_from_its_own_side(language: Language) -> None:
    line = paper().lines[0].model_copy(update={"description": "ראשון Second שלישי Fourth"})
    letters = letters_of(set_pdf(paper(lines=[line]), None, language))
    words = [place_of(letters, word) for word in ("ראשון", "Second", "שלישי", "Fourth")]
    # The words go to the left, since the first is Hebrew; the letters of a Latin word go to the right.
    assert [begins > ends for begins, ends in words] == [True, False, True, False]
    assert [max(place) for place in words] == sorted((max(place) for place in words), reverse=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_telephone_number_is_not_turned_around(language: Language) -> None:
    letters = letters_of(set_pdf(paper(), None, language))
    plus = next(letter for letter in letters if letter.text == "+")
    digits = [letter for letter in letters if abs(letter.bottom - plus.bottom) < 5 and letter.text.isdigit()]
    assert plus.left < min(digit.left for digit in digits if abs(digit.left - plus.left) < 100)


def test_a_hebrew_page_runs_from_right_to_left_and_an_english_one_from_left_to_right() -> None:
    places: dict[Language, float] = {}
    for language in LANGUAGES:
        letters = letters_of(set_pdf(paper(), None, language))
        places[language] = place_of(letters, "Coaching")[0]
    assert places["en"] < 100
    assert places["he"] > 300


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_its_name(kind: Kind, language: Language) -> None:
    assert KINDS[language][kind] in text_of(set_pdf(paper(kind=kind), None, language))


def test_the_same_document_gives_the_same_bytes_in_another_process() -> None:
    here = [hashlib.sha256(set_pdf(paper(4), PIXEL, language)).hexdigest() for language in LANGUAGES]
    script = (
        "import hashlib; from tests.features.documents.papers import paper;"
        "from tests.features.documents.test_pdf import PIXEL; from loom.features.documents.service import set_pdf;"
        "print([hashlib.sha256(set_pdf(paper(4), PIXEL, l)).hexdigest() for l in ('en', 'he')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(here)


def test_two_documents_are_different_pictures() -> None:
    # The negative control of the pictures: what is said differently looks different.
    one, other = paper(), paper(number="TAX-2026-0008")
    assert picture_of(set_pdf(one, None)) == picture_of(set_pdf(paper(), None))
    assert picture_of(set_pdf(one, None)) != picture_of(set_pdf(other, None))


def test_it_is_pdf_a_with_every_font_in_it() -> None:
    content = set_pdf(paper(4), None)
    assert b"<pdfaid:part>2</pdfaid:part>" in content
    assert b"<pdfaid:conformance>U</pdfaid:conformance>" in content
    assert content.count(b"/FontFile2") == content.count(b"/FontDescriptor ") > 0


@pytest.mark.parametrize(
    "text",
    [
        '#read("/etc/passwd")',
        "*bold* _it_ $x^2$ @ref <label> `raw` // gone",
        '"] #panic("x") #[',
        "\\u{41} \\",
        "= Heading",
        "#{while true {}}",
    ],
)
def test_markup_in_a_text_stays_a_text(text: str) -> None:
    said = text_of(set_pdf(paper(notes=text, seller_name=text, buyer_name=text, footer=text), None, "en"))
    for word in text.split():
        assert word in said
    assert "root:" not in said


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Dana\u202elaP\u202c \u2066x\u2069 \u200fy\u061c", "Dana laP x y".replace(" laP", "laP")),
        ("a\x00b\x07c\ufeff", "abc"),
        ("one\r\ntwo\u2028three", "one\ntwo\nthree"),
        ("\U0001f600 hi \U0001f468\u200d\U0001f469\u200d\U0001f467", "□ hi □□□"),
        ("漢字", "□□"),
        ("  a \t b  ", "a b"),
        ("שָׁלוֹם", "שָׁלוֹם"),
        ("محمد Иван Ωmega", "محمد Иван Ωmega"),
        ("x" * 70, "x" * 30 + "\u200b" + "x" * 30 + "\u200b" + "x" * 10),
        ("", ""),
    ],
)
def test_what_people_type_is_made_printable(text: str, printed: str) -> None:
    assert printable(text) == printed


def test_bidi_controls_in_a_name_turn_nothing_around() -> None:
    clean = set_pdf(paper(buyer_name="Dana Pal"), None)
    assert set_pdf(paper(buyer_name="\u202eDana\u2067 Pal\u2069"), None) == clean
    # Negative control: past the filter the override does change the page.
    template = b'#set document(title: "x"); #set text(font: "Arimo"); #json(bytes(sys.inputs.data)).name'
    turned, straight = (typeset(template, {"name": name}, made_at=ISSUED) for name in ("\u202eDana", "Dana"))
    assert picture_of(turned) != picture_of(straight)


def test_huge_texts_are_set() -> None:
    content = set_pdf(
        paper(
            notes="\n".join(["line " * 40] * 200),
            seller_name="x" * 200,
            address="y" * 500,
            buyer_name="\U0001f600" * 200,
            footer="z" * 300,
        ),
        None,
    )
    assert pages_of(content) > 3


def test_every_currency_is_printable() -> None:
    without = {
        currency for currency in currencies() if any(not has_glyph(mark) for mark in Money(1, currency).text("he"))
    }
    assert "THB" in without
    for currency in {*without, "ILS", "JPY", "KWD"}:
        text = text_of(set_pdf(paper(currency=currency), None, "he"))
        assert (currency in text) == (currency in {*without, "KWD"})


@pytest.mark.parametrize(
    ("change", "stamp"),
    [({"voided_at": ISSUED}, "Void"), ({"issued_at": None, "number": None}, "Draft"), ({}, None)],
)
def test_what_is_no_document_in_force_says_so(change: dict[str, Any], stamp: str | None) -> None:
    text = text_of(set_pdf(paper(**change), None, "en"))
    assert [word for word in ("Void", "Draft") if word in text] == ([stamp] if stamp else [])


def test_a_discount_has_a_column_where_there_is_one() -> None:
    line = paper().lines[0].model_copy(update={"discount_cents": 5000, "total_cents": 30000})
    assert "Discount" not in text_of(set_pdf(paper(), None, "en"))
    text = text_of(set_pdf(paper(lines=[line], tax_rate_bp=0, tax_cents=0), None, "en"))
    assert "Discount" in text
    assert "50.00" in text
    assert "VAT 18%" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_discount_off_all_lines_stands_between_their_sum_and_the_total(language: Language) -> None:
    words = LABELS[language]
    plain = text_of(set_pdf(paper(2), None, language))
    assert words["lines_total"] not in plain
    text = text_of(set_pdf(paper(2, discount_cents=12345), None, language))
    assert text.index(words["lines_total"]) < text.index(words["discount"]) < text.index(words["subtotal"])
    assert "700.00" in text
    assert "123.45" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receipt_says_how_the_money_came(language: Language) -> None:
    paid = MoneyIn(at=ISSUED, method="bank_transfer", reference="4471 " + "x" * 200)
    text = text_of(set_pdf(paper(kind="tax_invoice_receipt", due_date=None, paid=paid), None, language))
    assert METHODS[language]["bank_transfer"] in text
    assert "4471" in text
    assert LABELS[language]["received"] in text
    # Nobody is asked for the money again.
    assert "סניף" not in text


def test_what_the_tax_authority_wants_is_on_the_document() -> None:
    text = text_of(
        set_pdf(paper(allocation_number="123456789", buyer_tax_id="515555555", buyer_address="Haifa"), None, "en")
    )
    for wanted in ("VAT number: 123456782", "Tax ID: 515555555", "Haifa", "Allocation number", "123456789", "VAT 18%"):
        assert wanted in text
    exempt = text_of(set_pdf(paper(kind="receipt", tax_scheme="exempt", tax_rate_bp=0, tax_cents=0), None, "he"))
    assert "עוסק פטור" in exempt
    note = text_of(set_pdf(paper(kind="credit_note", credit_of="TAX-2026-0001"), None, "en"))
    assert "TAX-2026-0001" in note.replace("\n", "")
    later = text_of(set_pdf(paper(kind="invoice", tax_on_payment=True), None, "en"))
    assert "The tax invoice follows with the payment." in later


@pytest.mark.parametrize(("language", "labels"), [
    ("en", ["Taxed by their own invoices", "Not taxed", "Before tax", "VAT 18%", "Received"]),
    ("he", ["חויב במס בחשבונית נפרדת", "ללא מס", "לפני מס", "מע״מ 18%", "התקבל"]),
])  # fmt: skip
def test_what_the_tax_of_a_receipt_is_not_of_stands_apart(language: Language, labels: list[str]) -> None:
    mixed = paper(
        kind="tax_invoice_receipt",
        paid=MoneyIn(at=ISSUED, method="cash", reference=None),
        subtotal_cents=25300, tax_cents=1800, total_cents=27100, taxed_elsewhere_cents=11800, untaxed_cents=3500,
    )  # fmt: skip
    totals = filled(mixed, None, language)["totals"]
    assert [label for label, _, _ in totals] == labels
    amounts = ["118.00", "35.00", "100.00", "18.00", "271.00"]
    assert all(amount in said for amount, (_, said, _) in zip(amounts, totals, strict=True))
    text = text_of(set_pdf(mixed, None, language))
    assert all(amount in text for amount in amounts)
    # Where nothing is apart there are no such lines.
    assert len(filled(paper(), None, language)["totals"]) == 3


def test_a_logo_is_on_the_page() -> None:
    assert picture_of(set_pdf(paper(), PIXEL)) != picture_of(set_pdf(paper(), None))
    # What got into the database past the API and is no picture is left out; the document is there all the same.
    assert picture_of(set_pdf(paper(), b"\xff\xd8\xffno picture")) == picture_of(set_pdf(paper(), None))


def test_pictures_are_looked_at_before_they_are_taken() -> None:
    assert check_picture(PIXEL) == "image/png"
    bomb = PIXEL[:16] + (100_000).to_bytes(4, "big") * 2 + PIXEL[24:]
    for content in (
        b"",
        b"GIF89a",
        PIXEL + bytes(262_144),
        b"<svg/>",
        PIXEL[:40],
        bomb,
        b"\xff\xd8",
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x01\x00\x01",
    ):
        with pytest.raises(PictureRefusedError):
            check_picture(content)


def test_lines_of_a_text_have_each_their_own_direction() -> None:
    assert [line["dir"] for line in free("שלום\nHello (all)!\n+972-50\n\n")] == ["rtl", "ltr", "ltr"]
