"""A real smbd on loopback, with the share that server_stub/SAMBA.md tells people to configure, and smbclient to use it.

Everything lies in a private folder; smbd and its children are one session, which is ended as a whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.harness.ports import Port
from tests.harness.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

CHECKOUT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "alice", "not-a-secret"
_DOCUMENTED_ROOT, _DOCUMENTED_LOG = "/srv/drive", "/var/log/samba/anchorfs-audit.log"
_PROGRAMS = ("smbd", "smbclient", "pdbedit")
_TIMEOUT_S = 120.0

_GLOBAL = """
    server role = standalone server
    interfaces = 127.0.0.1
    bind interfaces only = yes
    smb ports = {port}
    server min protocol = SMB3
    disable netbios = yes
    load printers = no
    printcap name = /dev/null
    private dir = {folder}/private
    lock directory = {folder}/lock
    state directory = {folder}/state
    cache directory = {folder}/cache
    pid directory = {folder}
    ncalrpc dir = {folder}/ncalrpc
    log file = {folder}/log.smbd
    username map = {folder}/users
"""


def missing() -> str | None:
    """Why no smbd can be had here; None when one can."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    absent = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if not list(Path("/usr/lib").glob("*/samba/vfs/full_audit.so")):
        return "not installed: Samba's full_audit module"
    return None if os.geteuid() == 0 else "smbd needs root to act for its users"


def documented_share() -> str:
    """The configuration that people copy."""
    text = (CHECKOUT / "server_stub" / "SAMBA.md").read_text(encoding="utf-8")
    found = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    assert found is not None, "SAMBA.md shows no configuration"
    return found[1]


class Samba:
    """`with Samba(folder, root) as samba: samba.do("put a b")` as the user alice of the share `drive`."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.audit_log = folder / "audit.log"
        self._root = root
        self._port = Port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for name in ("private", "lock", "state", "cache", "ncalrpc"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        self._configure()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End smbd with all its children."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def do(self, *commands: str) -> str:
        """Run commands of smbclient in one connection; AssertionError with its words when one fails."""
        done = subprocess.run(
            self.words("; ".join(commands)), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        assert "NT_STATUS_" not in told, told
        return told

    def words(self, commands: str = "") -> list[str]:
        """The command line of smbclient; without commands it takes them from its input."""
        share = ["smbclient", "//127.0.0.1/drive", "--port", str(self._port.number), "-A", str(self.folder / "login")]
        return [*share, "-s", str(self._conf), *(["-c", commands] if commands else [])]

    @property
    def _conf(self) -> Path:
        return self.folder / "smb.conf"

    def _configure(self) -> None:
        share = documented_share().replace(_DOCUMENTED_ROOT, str(self._root))
        share = share.replace(_DOCUMENTED_LOG, str(self.audit_log))
        ours = _GLOBAL.format(port=self._port.number, folder=self.folder)
        self._conf.write_text(share.replace("[global]\n", f"[global]\n{ours}", 1))
        (self.folder / "users").write_text(f"root = {USER}\n")
        (self.folder / "login").write_text(f"username = {USER}\npassword = {PASSWORD}\n")
        (self.folder / "login").chmod(0o600)
        words = ["pdbedit", "-s", str(self._conf), "--create", "--user", "root", "--password-from-stdin"]
        subprocess.run(words, input=f"{PASSWORD}\n{PASSWORD}\n".encode(), check=True, capture_output=True)

    def _start(self) -> None:
        program = shutil.which("smbd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
        assert program is not None, missing()
        with (self.folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [program, "--foreground", "--no-process-group", "-s", str(self._conf)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        until(self._listens, "smbd to listen")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "out").read_text()
        with socket.create_connection(("127.0.0.1", self._port.number), timeout=1):
            return True
