"""One file that holds everything of a Loom: the database, its keys, files and outbox."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

import loom
from loom.cli.target import open_target
from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.data_folder import LOCK, private_folder
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import apply_roles, require_empty
from loom.db.tools import dump, restore

FORMAT = 1
FOLDERS = ("keys", "files", "outbox")
GATEWAY = "sandbox.sqlite3"


def write_backup(settings: Settings, archive: Path) -> Path:
    """Writes the archive, readable by its owner only. A running Loom need not stop: the dump is one snapshot."""
    if archive.exists():
        raise OperatorError(f"{archive} is there already; a backup overwrites nothing.")
    with tempfile.TemporaryDirectory(prefix="loom-backup-") as scratch, open_target(settings) as target:
        dumped = Path(scratch) / "database.dump"
        dump(target.admin_url, dumped, custom=True)
        manifest = Path(scratch) / "manifest.json"
        made = datetime.now(UTC).isoformat()
        manifest.write_text(json.dumps({"format": FORMAT, "loom": loom.__version__, "made": made}), "utf-8")
        draft = archive.with_name(f".{archive.name}.part")
        try:
            draft.touch(mode=0o600, exist_ok=False)
            with tarfile.open(draft, "w:gz") as tar:
                tar.add(manifest, "manifest.json")
                tar.add(dumped, "database.dump")
                if (settings.data_dir / GATEWAY).exists():
                    tar.add(_copy_gateway(settings.data_dir / GATEWAY, Path(scratch)), GATEWAY)
                for name in FOLDERS:
                    if (settings.data_dir / name).is_dir():
                        tar.add(settings.data_dir / name, name)
            draft.rename(archive)
        finally:
            draft.unlink(missing_ok=True)
    return archive


def read_backup(settings: Settings, archive: Path) -> None:
    """Makes a data folder (empty so far), or fills an empty database given by URL, from an archive."""
    folder = settings.data_dir
    if not archive.is_file():
        raise OperatorError(f"There is no backup {archive}.")
    if folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise OperatorError(f"The data folder {folder} is not empty. Restore into a new one: --data-dir.")
    with tempfile.TemporaryDirectory(prefix="loom-restore-") as scratch:
        unpacked = Path(scratch)
        _unpack(archive, unpacked)
        url = settings.database_url.get_secret_value() if settings.database_url else None
        if url is not None:
            require_empty(url)
        private_folder(folder)
        try:
            for name in FOLDERS:
                if (unpacked / name).is_dir():
                    shutil.copytree(unpacked / name, folder / name)
            if (unpacked / GATEWAY).exists():
                shutil.copy2(unpacked / GATEWAY, folder / GATEWAY)
            if url is not None:
                _fill(url, unpacked)
            else:
                with EmbeddedServer.start(folder) as server:
                    _fill(server.url("postgres"), unpacked)
        except BaseException:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise


def _copy_gateway(source: Path, scratch: Path) -> Path:
    """A consistent copy of the sandbox gateway's state, which may be in use."""
    copy = scratch / GATEWAY
    with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(copy)) as here:
        there.backup(here)
    return copy


def _fill(url: str, unpacked: Path) -> None:
    apply_roles(url)
    restore(url, unpacked / "database.dump")


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Only plain files and folders below the target. By hand: tarfile's own filters are not in every Python 3.11."""
    place = PurePosixPath(member.name)
    if place.is_absolute() or ".." in place.parts or not (member.isreg() or member.isdir()):
        raise tarfile.ReadError(f"{member.name!r} does not belong in one")
    path = target / place
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        assert source is not None  # noqa: S101 - it is a regular file
        with source, path.open("xb") as file:
            shutil.copyfileobj(source, file)
    path.chmod(member.mode & 0o755)


def _unpack(archive: Path, target: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _unpack_member(tar, member, target)
        manifest = cast("dict[str, Any]", json.loads((target / "manifest.json").read_text("utf-8")))
        written = int(manifest["format"])
    except (tarfile.TarError, OSError, ValueError, KeyError) as exc:
        raise OperatorError(f"{archive} is not a backup of Loom's: {exc}") from exc
    if written != FORMAT:
        raise OperatorError(f"{archive} was made by Loom {manifest.get('loom')}, whose backups this one can't read.")
