"""What processes use, from Linux's /proc."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int | None) -> float:
    """Processor time of a process and of all its children, those that have ended too."""
    assert pid is not None
    family = {pid}
    parents: dict[int, int] = {}
    ticks: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(") ")[2].split()
        except OSError:
            continue  # it has just ended
        number = int(stat.parent.name)
        parents[number] = int(fields[1])
        ticks[number] = (int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sum(ticks[member]) for member in family) / _TICKS


def resident_kib(pid: int) -> int:
    """Memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])
