"""Medians, ratios and verdicts, printed the same way by every script."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """`subject` must reach `at_least` times the throughput of `baseline`."""

    subject: str
    baseline: str
    at_least: float


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs each measure once a round, one after another, so that all see the same minute; prints as it goes."""
    figures: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(1, rounds + 1):
        # Backwards every second round: whoever comes after a heavy neighbour is not always the same.
        for name in list(measures)[:: 1 if turn % 2 else -1]:
            figures[name].append(measures[name]())
            say(f"round {turn}: {name:<32} {figures[name][-1]:>10,.0f} /s")
    return figures


def judge(figures: Mapping[str, list[float]], budgets: list[Budget]) -> bool:
    """Prints medians, spread, and each ratio with its verdict; True when every budget holds.

    A ratio is the median of the rounds' own ratios: neighbours in time are compared, not the best of an hour.
    """
    for name, values in figures.items():
        say(f"{name:<32} median {statistics.median(values):>10,.0f} /s   ({min(values):,.0f} to {max(values):,.0f})")
    held = True
    for budget in budgets:
        ratios = [a / b for a, b in zip(figures[budget.subject], figures[budget.baseline], strict=True)]
        ratio = statistics.median(ratios)
        good = ratio >= budget.at_least
        held = held and good
        say(
            f"{budget.subject} / {budget.baseline}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}),"
            f" budget {budget.at_least:.2f}: {'holds' if good else 'MISSED'}"
        )
    return held


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
