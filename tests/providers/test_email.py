"""Mail providers against a real SMTP server and a real folder."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP

from loom.providers.email import OutboxMailer, SmtpMailer, open_mailer
from loom.providers.email.letter import Paragraph, compose
from loom.providers.email.smtp import parse_smtp_url
from loom.providers.errors import PermanentError, RetryableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def make_message(to: str = "noa@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Loom <loom@example.com>"
    message["To"] = to
    message["Subject"] = "הודעה חדשה"
    message["Message-ID"] = "<one@example.com>"
    message.set_content("שלום, see you on Sunday.\n")
    return message


class Inbox:
    """An SMTP server's handler that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.answers: list[str] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        envelope.session_peer = session.peer
        if self.answers:
            return self.answers.pop(0)
        self.envelopes.append(envelope)
        return "250 OK queued as 1A2B"


@asynccontextmanager
async def serve(handler: Inbox) -> AsyncIterator[str]:
    """The SMTP server on a free port; gives its address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="localhost"), "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_the_outbox_keeps_each_message_whole_and_readable(tmp_path: Path) -> None:
    outbox = OutboxMailer(tmp_path / "outbox")
    assert outbox.entries() == []
    first = asyncio.run(outbox.send(make_message()))
    second = asyncio.run(outbox.send(make_message("amir@example.com")))
    assert [entry.name for entry in outbox.entries()] == [first, second]
    entry = outbox.entries()[0]
    assert (entry.recipient, entry.subject, entry.message_id) == (
        "noa@example.com",
        "הודעה חדשה",
        "<one@example.com>",
    )
    assert outbox.read(first).get_content().strip() == "שלום, see you on Sunday."
    assert (tmp_path / "outbox" / first).stat().st_mode & 0o077 == 0
    for name in ("../secret", "nothing.eml", first.replace("20", "19", 1)):
        with pytest.raises(KeyError):
            outbox.read(name)


def test_an_outbox_that_cannot_be_written_asks_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with pytest.raises(RetryableError):
        asyncio.run(OutboxMailer(tmp_path / "outbox").send(make_message()))


def test_smtp_delivers_over_one_kept_connection() -> None:
    handler = Inbox()

    async def send_two() -> list[str]:
        async with serve(handler) as url:
            mailer = open_mailer(url, outbox=None)  # type: ignore[arg-type]
            try:
                return [await mailer.send(make_message()), await mailer.send(make_message())]
            finally:
                await mailer.close()

    assert asyncio.run(send_two()) == ["OK queued as 1A2B", "OK queued as 1A2B"]
    assert b"Message-ID: <one@example.com>" in handler.envelopes[0].content
    assert len({envelope.session_peer for envelope in handler.envelopes}) == 1


def test_addresses_and_ids_in_headers_leave_as_they_are(tmp_path: Path) -> None:
    """Read raw, as mail programs do: a parser would undo what folding has done to them."""
    unsubscribe = f"https://practice.example.org/v1/unsubscribe/{uuid4()}.messages.{'0f' * 32}"
    thread = f"conversation-{uuid4()}"
    mail = compose(
        sender="Loom <loom@a-rather-long-name-of-a-practice.example.org>", email="noa@example.com", name="Noa",
        subject="hello", key=str(uuid4()), language="en", parts=[Paragraph("hello")],
        thread=thread, unsubscribe=unsubscribe,
    )  # fmt: skip
    handler = Inbox()

    async def send() -> None:
        async with serve(handler) as url:
            mailer = SmtpMailer(url)
            await mailer.send(mail)
            await mailer.close()

    asyncio.run(send())
    name = asyncio.run(OutboxMailer(tmp_path / "outbox").send(mail))
    for raw in (handler.envelopes[0].original_content, (tmp_path / "outbox" / name).read_bytes()):
        lines = raw.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")
        assert f"List-Unsubscribe: <{unsubscribe}>" in lines
        assert f"References: <{thread}@a-rather-long-name-of-a-practice.example.org>" in lines
        assert f"Message-ID: {mail['Message-ID']}" in lines


@pytest.mark.parametrize(
    ("recipient", "answer", "expected"),
    [
        ("nobody@example.com", None, PermanentError),
        ("full@example.com", None, RetryableError),
        ("noa@example.com", "554 5.7.1 looks like spam", PermanentError),
        ("noa@example.com", "451 4.3.0 try later", RetryableError),
    ],
)
def test_smtp_answers_decide_whether_to_try_again(
    recipient: str, answer: str | None, expected: type[Exception]
) -> None:
    handler = Inbox()
    handler.answers = [answer] if answer else []

    async def refused_then_well() -> str:
        async with serve(handler) as url:
            mailer = SmtpMailer(url)
            try:
                with pytest.raises(expected):
                    await mailer.send(make_message(recipient))
                return await mailer.send(make_message())
            finally:
                await mailer.close()

    assert asyncio.run(refused_then_well()) == "OK queued as 1A2B"


def test_an_unreachable_smtp_server_asks_to_try_again() -> None:
    with pytest.raises(RetryableError):
        asyncio.run(SmtpMailer("smtp://127.0.0.1:1", timeout=2).send(make_message()))


@pytest.mark.parametrize("url", ["http://mail", "smtp://", "smtp://h?starttls=maybe"])
def test_an_address_that_is_not_smtp_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"smtp|starttls"):
        parse_smtp_url(url)


def test_an_smtp_address_is_read_in_all_its_parts() -> None:
    target = parse_smtp_url("smtp://noa%40x:p%2Fw@mail.example.com:2525?starttls=required")
    assert (target.host, target.port, target.username, target.password) == ("mail.example.com", 2525, "noa@x", "p/w")
    assert (target.tls, target.starttls) == (False, True)
    assert parse_smtp_url("smtps://mail.example.com").port == 465
