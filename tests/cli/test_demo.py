"""loom demo: a practice to try, that ends with Ctrl-C and goes on where it stopped."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from loom.cli.demo.actors import PASSWORD
from loom.cli.demo.command import reset_folder
from loom.cli.demo.people import EVERYBODY, MAYA
from loom.cli.demo.story_sessions import GROUP_LASTS, MAYAS_ZONE, OPENS, before_hours
from loom.core.errors import OperatorError
from loom.db.data_folder import FolderLock
from loom.db.embedded import EmbeddedServer
from tests.cli.running import Process, loom, running
from tests.support.processes import alive


def sign_in(server: Process, email: str) -> httpx.Response:
    url = f"http://127.0.0.1:{server.port}/v1/auth/sign-in"
    return httpx.post(url, json={"email": email, "password": PASSWORD}, timeout=30)


def people(folder: Path) -> int:
    joined = EmbeddedServer.attach(folder)
    assert joined is not None
    with psycopg.connect(joined.url("loom_owner")) as conn:
        row = conn.execute("select count(*) from public.users").fetchone()
    assert row is not None
    return int(row[0])


def reminded(folder: Path) -> int:
    """How many people have been reminded of a session, by the worker or just now."""
    joined = EmbeddedServer.attach(folder)
    assert joined is not None
    with psycopg.connect(joined.url("loom_owner")) as conn:
        conn.execute("select private.remind_of_sessions()")
        row = conn.execute("select count(distinct user_id) from public.session_reminders").fetchone()
    assert row is not None
    return int(row[0])


def test_the_demo_starts_stops_without_a_trace_and_continues(tmp_path: Path) -> None:
    for state in ("new", "as you left it"):
        with running("demo", "--data-dir", str(tmp_path), said="Ctrl-C stops all of it") as server:
            assert sign_in(server, MAYA.email).status_code == 200
            assert people(tmp_path) == len(EVERYBODY)
            assert reminded(tmp_path) == 2
            below = server.children()
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(30) == 0
            assert not [pid for pid in below if alive(pid)]
            said = server.output()
            assert f"({state})" in said
            assert all(account.email in said for account in EVERYBODY)
            assert "Traceback" not in said
    assert loom("demo", "--data-dir", str(tmp_path), "--check").returncode == 1
    # What a start leaves that was killed while it made the sample practice.
    (tmp_path / "demo-unfinished").touch()
    refused = loom("demo", "--data-dir", str(tmp_path), "--port", "0")
    assert refused.returncode == 1
    assert "half made" in refused.stderr
    assert "--reset" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_story_holds() -> None:
    told = loom("demo", "--check")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "none failed" in told.stdout


def test_a_reset_empties_a_data_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lock = FolderLock.take(folder)
    (folder / "keys").mkdir()
    with pytest.raises(OperatorError, match="in use by process"):
        reset_folder(folder)
    lock.release()
    reset_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["loom.lock"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear", "utf-8")
    with pytest.raises(OperatorError, match="nothing was deleted"):
        reset_folder(mine)
    assert (mine / "letter").read_text("utf-8") == "dear"
    reset_folder(tmp_path / "not-there-yet")


def test_the_first_coach_is_made_from_the_command_line(tmp_path: Path) -> None:
    arguments = ("users", "create", "--role", "coach", "--email", "first@example.org", "--data-dir", str(tmp_path))
    made = loom(*arguments)
    assert made.returncode == 0, made.stderr
    password = made.stdout.partition("password: ")[2].strip()
    again = loom(*arguments)
    assert again.returncode == 1
    assert "There is an account with this address" in again.stderr
    with running("serve", "--data-dir", str(tmp_path)) as server:
        body = {"email": "first@example.org", "password": password}
        answer = httpx.post(f"http://127.0.0.1:{server.port}/v1/auth/sign-in", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        me = httpx.get(
            f"http://127.0.0.1:{server.port}/v1/me",
            headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
            timeout=30,
        )
        assert me.json()["role"] == "coach"


def test_settings_are_shown_with_their_source_and_secrets_are_not(tmp_path: Path) -> None:
    shown = loom(
        "settings",
        LOOM_DATA_DIR=str(tmp_path),
        LOOM_SMTP_URL="smtp://me:hunter2@mail.example.org",
        LOOM_DATABASE_URL="postgresql://me:hunter3@db.example.org/loom",
        COLUMNS="400",
    )
    assert shown.returncode == 0
    assert "hunter" not in shown.stdout
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert str(tmp_path) in lines["LOOM_DATA_DIR"]
    assert "environment" in lines["LOOM_DATA_DIR"]
    assert "*****" in lines["LOOM_SMTP_URL"]
    assert "default" in lines["LOOM_PORT"]


def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    refused = loom("serve", "--data-dir", str(tmp_path), LOOM_POOL_MAX_SIZE="many")
    assert refused.returncode == 1
    assert "LOOM_POOL_MAX_SIZE" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("first", [datetime(2026, 3, 23, tzinfo=UTC), datetime(2026, 10, 21, tzinfo=UTC)])
def test_the_weekly_group_is_over_when_hours_open_whatever_hour_the_story_is_told(first: datetime) -> None:
    """Clients book inside of hours from three days on, and that may be the morning of the group's own day."""
    for quarter in range(4 * 24 * 7):
        now = first + timedelta(minutes=15 * quarter)
        ends = before_hours(now).astimezone(UTC) + GROUP_LASTS
        opens = datetime.combine(before_hours(now), OPENS, MAYAS_ZONE)
        assert now + timedelta(days=2) < before_hours(now)
        assert ends <= opens
