"""Budget: a read under policies has at least 0.85 of the throughput of the same read without them.

    .venv/bin/python -m bench.policy_read [--scale MESSAGES] [--rounds N] [--seconds S]

The last fifty messages of a conversation, prepared, in one round trip with the setting of role and claims, by pgbench
on two connections. Both sides set role and claims; only one of the roles is subject to policies.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.data import PEOPLE, fill, server, sql_uid
from bench.verdict import Budget, interleaved, judge, machine, say
from loom.db.embedded import EmbeddedServer, programs

SCRIPT = """\\set c random(0, {last})
\\set p random(0, {people})
\\startpipeline
select set_config('role', '{role}', true),
  set_config('request.jwt.claims', '{{"sub":"' || {user} || '","role":"{role}"}}', true);
select id, seq, sender_id, content, created_at from public.messages
where conversation_id = {conversation} order by seq desc limit 50;
\\endpipeline
"""


def script(role: str, conversations: int) -> str:
    """What pgbench does for one transaction as `role`, for a random person of a random conversation."""
    return SCRIPT.format(
        last=conversations - 1,
        people=PEOPLE - 1,
        role=role,
        user=sql_uid("user", f"((:c * {PEOPLE} + :p) % 1000)::integer"),
        conversation=sql_uid("conversation", "(:c)::integer"),
    )


def pgbench(database: EmbeddedServer, path: Path, seconds: int) -> float:
    """Transactions per second."""
    command = [
        str(programs() / "pgbench"), "-n", "-M", "prepared", "-c", "2", "-j", "1", "-T", str(seconds), "-f", str(path),
        database.url("loom_api"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=1_000_000, help="messages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measure in each round")
    asked = parser.parse_args()
    with server() as database, tempfile.TemporaryDirectory() as folder:
        conversations = fill(database, asked.scale)
        paths: dict[str, Path] = {}
        for name, role in (("with policies", "authenticated"), ("without policies", "service_role")):
            paths[name] = Path(folder) / f"{role}.sql"
            paths[name].write_text(script(role, conversations), encoding="utf-8")
            pgbench(database, paths[name], 2)
        say(machine())
        figures = interleaved(
            {name: lambda path=path: pgbench(database, path, asked.seconds) for name, path in paths.items()},
            asked.rounds,
        )
    sys.exit(not judge(figures, [Budget("with policies", "without policies", 0.85)]))


if __name__ == "__main__":
    main()
