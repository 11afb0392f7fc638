"""The guide to the database does what it says: its commands run, its tables are the catalogue's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from loom.db.embedded import programs
from tests.support.acting import AsUser
from tests.support.people import Person, a_coach, a_person

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "database-access.md"
BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFUSED = re.compile(r"-- refused: (\w{5})(?: (\w+))?$", re.MULTILINE)
ERROR = re.compile(r"^psql:[^\n]*ERROR:  (\w{5}): .*?(?=^psql:|\Z)", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^CONSTRAINT NAME:  (\w+)$", re.MULTILINE)
FUNCTION_ROW = re.compile(r"^\| `(\w+)`( °)? \| [^|]+ \|$", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| `(\w+)` \| ([a-z, ]+) \| [^|]+ \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def text() -> str:
    return GUIDE.read_text(encoding="utf-8")


def run(script: str, conninfo: str, folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    """The script as psql runs it when somebody pastes it: an error is shown and the next command follows."""
    path = folder / "guide.sql"
    path.write_text(script, encoding="utf-8")
    settings = [f"--variable={name}={value}" for name, value in {"VERBOSITY": "verbose", **variables}.items()]
    return subprocess.run(
        [programs() / "psql", "--no-psqlrc", "--dbname", conninfo, *settings, "--file", path],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_commands_run_and_only_those_marked_are_refused(
    text: str, owner: psycopg.Connection[DictRow], api_url: str, tmp_path: Path, as_user: AsUser
) -> None:
    coach, client = a_coach(owner), a_person(owner)
    other = a_person(owner)
    ran = run("\n".join(BLOCK.findall(text)), api_url, tmp_path, coach=coach.id, client=client.id)
    assert ran.returncode == 0, ran.stderr
    refusals = [(found[1], code[1] if (code := CODE.search(found[0])) else "") for found in ERROR.finditer(ran.stderr)]
    assert refusals == REFUSED.findall(text), ran.stderr
    assert [len(seen(as_user, person)) for person in (coach, client, other)] == [1, 1, 0]
    invited = owner.execute("select status from public.coach_clients where email = 'dana.levi@example.com'").fetchone()
    assert invited == {"status": "invited"}
    title = owner.execute("select count(*) as n from public.messages where content = 'See you on Sunday!'").fetchone()
    assert title == {"n": 1}


def seen(as_user: AsUser, person: Person) -> list[Any]:
    with as_user(person.id) as conn:
        return conn.execute("select id from public.sessions").fetchall()


def test_an_unmarked_refusal_would_be_noticed(api_url: str, tmp_path: Path) -> None:
    ran = run("select * from public.users;\nselect private.fail(409, 'busy', 'x');\n", api_url, tmp_path)
    assert [found[1] for found in ERROR.finditer(ran.stderr)] == ["42501", "42501"]


def test_the_functions_are_those_that_api_roles_may_call(text: str, owner: psycopg.Connection[DictRow]) -> None:
    rows = owner.execute(
        """
        select p.proname as name, bool_or(has_function_privilege('anon', p.oid, 'execute')) as anon
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype
          and (has_function_privilege('anon', p.oid, 'execute')
            or has_function_privilege('authenticated', p.oid, 'execute'))
          and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
        group by p.proname
        """
    ).fetchall()
    there = {row["name"]: row["anon"] for row in rows}
    written = {name: bool(mark) for name, mark in FUNCTION_ROW.findall(section(text, "Functions"))}
    assert written == there, (
        f"docs/guide/database-access.md: add {there.keys() - written.keys()}, drop {written.keys() - there.keys()}"
    )


def test_the_tables_are_those_that_signed_in_people_may_write(text: str, owner: psycopg.Connection[DictRow]) -> None:
    rows = owner.execute(
        """
        select c.relname as name,
          concat_ws(', ',
            case when has_any_column_privilege('authenticated', c.oid, 'insert') then 'insert' end,
            case when has_any_column_privilege('authenticated', c.oid, 'update') then 'update' end,
            case when has_table_privilege('authenticated', c.oid, 'delete') then 'delete' end) as verbs,
          has_any_column_privilege('authenticated', c.oid, 'select') as readable
        from pg_catalog.pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
        """
    ).fetchall()
    there = {row["name"]: row["verbs"] for row in rows if row["verbs"]}
    assert dict(TABLE_ROW.findall(section(text, "Tables that are written directly"))) == there
    assert [row["name"] for row in rows if not row["readable"]] == []


def section(text: str, heading: str) -> str:
    """The text below a heading of the second level, up to the next one."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
