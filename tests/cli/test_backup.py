"""A backup holds everything, and a restore brings everything back, into an empty place only."""

from __future__ import annotations

import asyncio
import io
import stat
import tarfile
from pathlib import Path

import psycopg
import pytest

from loom.cli.backup import read_backup, write_backup
from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate
from loom.features.identity.service import create_user
from loom.web.app import open_database
from tests.support.cluster import Cluster


def make_data(folder: Path) -> None:
    """A data folder with somebody in it, a mail and a key."""
    settings = Settings(data_dir=folder)
    with EmbeddedServer.start(folder) as server:
        migrate(server.url("postgres"))

        async def work() -> None:
            async with await open_database(settings, server.url()) as database:
                await create_user(database, email="maya@example.org", role="coach", first_name="Maya")

        asyncio.run(work())
    (folder / "outbox").mkdir()
    (folder / "outbox" / "letter.eml").write_text("שלום", "utf-8")
    (folder / "keys" / "signing").write_text("secret", "utf-8")


def coaches(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute("select email, first_name, role::text from public.users").fetchall()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    make_data(folder / "data")
    return write_backup(Settings(data_dir=folder / "data"), folder / "loom.tar.gz")


def test_a_backup_comes_back_as_it_was(archive: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    folder = tmp_path / "restored"
    read_backup(Settings(data_dir=folder), archive)
    assert (folder / "outbox" / "letter.eml").read_text("utf-8") == "שלום"
    assert (folder / "keys" / "signing").read_text("utf-8") == "secret"
    with EmbeddedServer.start(folder) as server:
        assert migrate(server.url("postgres")) == []
        assert coaches(server.url("postgres")) == [("maya@example.org", "Maya", "coach")]
        with psycopg.connect(server.url("loom_owner")) as conn:
            owners = conn.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
            assert owners == [("loom_owner",)]
            assert conn.execute("select private.enqueue('test', '{}') is not null").fetchone() == (True,)
        with psycopg.connect(server.url("loom_api")) as conn:
            conn.execute("set local role service_role")
            assert conn.execute("select count(*) from public.practices").fetchone() == (1,)


def test_a_restore_refuses_a_folder_with_something_in_it(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", "utf-8")
    with pytest.raises(OperatorError, match="not empty"):
        read_backup(Settings(data_dir=tmp_path), archive)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_restore_of_something_else_leaves_nothing_behind(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tar.gz"
    wrong.write_bytes(b"no archive")
    with pytest.raises(OperatorError, match="not a backup"):
        read_backup(Settings(data_dir=tmp_path / "data"), wrong)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("what", ["../outside", "/outside-of-it", "a link"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path, what: str) -> None:
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        member = tarfile.TarInfo("keys" if what == "a link" else what)
        if what == "a link":
            member.type, member.linkname = tarfile.SYMTYPE, "/"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(OperatorError, match="does not belong in one"):
        read_backup(Settings(data_dir=tmp_path / "data"), evil)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar.gz"]


def test_a_backup_overwrites_nothing(archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(OperatorError, match="overwrites nothing"):
        write_backup(Settings(data_dir=tmp_path), archive)
    assert archive.read_bytes() == before


def test_a_backup_can_move_to_a_server_given_by_url(archive: Path, cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.create()
    try:
        url = cluster.url(name, "postgres")
        settings = Settings(data_dir=tmp_path / "data", database_url=url)  # pyright: ignore[reportArgumentType]
        read_backup(settings, archive)
        assert coaches(url) == [("maya@example.org", "Maya", "coach")]
        with pytest.raises(OperatorError, match="not empty"):
            read_backup(Settings(data_dir=tmp_path / "other", database_url=url), archive)  # pyright: ignore[reportArgumentType]
    finally:
        cluster.drop(name)
