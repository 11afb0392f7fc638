"""How a child process starts: as whom, with what, and when it ends with its parent.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`; where that user can't reach the data folder or
the programs (both may lie under a 0700 home), the child keeps the one capability that lets it pass, instead of anyone
changing the mode or owner of folders that are not Loom's.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loom.core.errors import OperatorError

_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@dataclass(frozen=True, slots=True)
class RunAs:
    """Identity of the server's processes; uid None is the present user."""

    uid: int | None = None
    gid: int | None = None
    keep_access: bool = False

    def give(self, path: Path) -> None:
        """Makes the identity the owner of a file or folder of Loom's own."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def preexec(self, *, die_with_parent: bool) -> Callable[[], None]:
        """What the child does between fork and exec."""
        libc = ctypes.CDLL(None, use_errno=True)
        linux = sys.platform == "linux"

        def prepare() -> None:
            if self.uid is not None and self.gid is not None:
                if self.keep_access:
                    # Without this access(2), by which initdb looks for its programs, would ignore the capability.
                    _check(libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
                os.setgroups([])
                os.setresgid(self.gid, self.gid, self.gid)
                os.setresuid(self.uid, self.uid, self.uid)
                if self.keep_access:
                    bit = 1 << _CAP_DAC_OVERRIDE
                    data = (_CapData * 2)(_CapData(bit, bit, bit), _CapData(0, 0, 0))
                    _check(libc.capset(ctypes.byref(_CapHeader(_CAPABILITY_VERSION_3, 0)), data))
                    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))
            # After the change of user, which would clear it. SIGINT is PostgreSQL's fast, clean shutdown.
            if die_with_parent and linux:
                _check(libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0))

        return prepare


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def choose(folder: Path, program: Path) -> RunAs:
    """The identity for a server with its data in `folder` (which exists), by trying whether it gets there."""
    if os.geteuid() != 0:
        return RunAs()
    nobody = pwd.getpwnam("nobody")
    plain = RunAs(nobody.pw_uid, nobody.pw_gid)
    passing = RunAs(nobody.pw_uid, nobody.pw_gid, keep_access=True)
    for identity in (plain, passing):
        if _reaches(identity, folder, program):
            return identity
    raise OperatorError(
        f"PostgreSQL does not run as root, and as nobody it reaches neither {folder} nor {program.parent} from here. "
        "Run Loom as an ordinary user, or choose a --data-dir that everybody can reach."
    )


def _reaches(identity: RunAs, folder: Path, program: Path) -> bool:
    prepare = identity.preexec(die_with_parent=False)
    tries = (["/bin/sh", "-c", 'cd "$1" && [ -x . ]', "sh", str(folder)], [str(program), "--version"])
    for command in tries:
        try:
            done = subprocess.run(
                command,
                preexec_fn=prepare,
                cwd="/",
                capture_output=True,
                check=False,
                timeout=30,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        if done.returncode != 0:
            return False
    return True
