"""The story that `loom demo --check` plays over HTTP, step by step, and the verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from loom.cli.demo import (
    people,
    story_cards,
    story_messages,
    story_money,
    story_papers,
    story_sessions,
    story_strangers,
)
from loom.cli.demo.actors import StepFailed
from loom.cli.demo.stage import Stage
from loom.core.errors import AppError

Step = Callable[[Stage], Awaitable[None]]

STEPS: tuple[tuple[str, Step], ...] = (
    ("A coach sets weekly hours and makes two templates", story_sessions.offers),
    ("A client books a free slot; twenty callers want the next", story_sessions.booking),
    ("A group comes together", story_sessions.group),
    ("Sessions become an invoice, and the invoice gets paid", story_money.invoice),
    ("Cards: a payment makes a session, and two gateways agree with the books", story_cards.cards),
    ("Sessions are paid in advance, and documents travel", story_papers.papers),
    ("The group talks, and every message knows where it went", story_messages.conversation),
    ("Others try every door", story_strangers.intruders),
)


async def play(stage: Stage) -> bool:
    """Plays every step and prints the verdict. A step that breaks off ends the story, since the next build on it."""
    async with httpx.AsyncClient(base_url=stage.base_url, timeout=30) as http:
        for account in people.EVERYBODY:
            stage.add(account, http)
        for number, (title, step) in enumerate(STEPS, 1):
            stage.console.print(f"\n[bold]{number}. {title}[/]")
            try:
                await step(stage)
            except (StepFailed, AppError, httpx.HTTPError, KeyError, IndexError, StopIteration) as broken:
                stage.failures.append(f"step {number} broke off: {broken!r}")
                stage.console.print(f"  [red]✗ {broken!r}[/]", markup=True)
                break
    _verdict(stage)
    return not stage.failures


def _verdict(stage: Stage) -> None:
    if not stage.failures:
        stage.console.print(f"\n[bold green]The story holds: {stage.checks} checks, none failed.[/]")
        return
    stage.console.print(f"\n[bold red]{len(stage.failures)} of {stage.checks} checks failed:[/]")
    for failure in stage.failures:
        stage.console.print(f"  [red]✗ {failure}[/]")
