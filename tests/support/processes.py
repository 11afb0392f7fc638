"""Whether a process is still there."""

from __future__ import annotations

from pathlib import Path


def alive(pid: int) -> bool:
    """True while it runs. One that has ended counts as gone, though its new parent has not yet taken note of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
