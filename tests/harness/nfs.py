"""A user-space NFS server (nfs-ganesha, NFS 4) on loopback, and libnfs to use it: nothing of the kernel's NFS.

Neither is installed: scripts/setup unpacks their packages beside the tests' Python, where nothing starts them. What the
machine has of its own is taken first.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.harness.ports import Port
from tests.harness.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

_PROGRAM = "ganesha.nfsd"
_UNPACKED = Path(sys.prefix) / "nfs"

_CONFIGURATION = """
NFS_CORE_PARAM {{
    Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false;
    Plugins_Dir = "{plugins}";
}}
NFSV4 {{
    Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{folder}/recovery";
    IdmapConf = "{folder}/idmapd.conf"; Only_Numeric_Owners = true;
}}
DIRECTORY_SERVICES {{ DomainName = localdomain; Idmapping_Active = false; }}
EXPORT {{
    Export_Id = 1; Path = "{root}"; Pseudo = /drive; Access_Type = RW; Squash = None; SecType = sys;
    FSAL {{ Name = VFS; }}
}}
"""


def missing() -> str | None:
    """Why there is no NFS here; None when there is."""
    program = _program()
    if program is None:
        return "neither installed nor unpacked by scripts/setup: nfs-ganesha, nfs-ganesha-vfs"
    if _library() is None:
        return "neither installed nor unpacked by scripts/setup: libnfs13"
    if os.geteuid() != 0:
        return "an NFS server opens files by handle, which needs root"
    done = subprocess.run([program, "-v"], env=_environment(), capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{_PROGRAM} does not start here: {done.stderr.strip()}"


def _program() -> str | None:
    unpacked = _UNPACKED / "usr" / "bin" / _PROGRAM
    return shutil.which(_PROGRAM) or (str(unpacked) if unpacked.exists() else None)


def _library() -> str | None:
    return find_library("nfs") or next(map(str, _UNPACKED.glob("usr/lib/*/libnfs.so.*")), None)


def _environment() -> dict[str, str]:
    """What was unpacked finds its libraries and their plug-ins."""
    folders = [*_UNPACKED.glob("usr/lib/ganesha"), *_UNPACKED.glob("usr/lib/*-linux-gnu*")]
    folders += _UNPACKED.glob("usr/lib/*/libnfsidmap")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders))}


class Nfs:
    """`with Nfs(folder, root) as nfs: nfs.write("a", b"x")`."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._port = Port()
        self._library = ctypes.CDLL(_library())
        self._library.nfs_init_context.restype = ctypes.c_void_p
        self._library.nfs_get_error.restype = ctypes.c_char_p
        self._library.nfs_parse_url_dir.restype = ctypes.c_void_p  # sets version and port; never freed: two strings
        self._context: ctypes.c_void_p | None = None

    def __enter__(self) -> Self:
        (self._folder / "recovery").mkdir(parents=True)
        (self._folder / "idmapd.conf").write_text("[General]\nDomain = localdomain\n[Translation]\nMethod = nsswitch\n")
        try:
            self._start()
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        if self._context is not None:
            self._library.nfs_destroy_context(self._context)
            self._context = None
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def write(self, path: str, content: bytes) -> None:
        """Create a file, or write one anew: libnfs does not do both in one call."""
        file = ctypes.c_void_p()
        how = os.O_TRUNC if (self._root / path).exists() else os.O_CREAT
        self._call("nfs_open2", f"/{path}", os.O_WRONLY | how, 0o644, ctypes.byref(file))
        if content:
            self._call("nfs_write", file, ctypes.c_uint64(len(content)), content)
        self._call("nfs_close", file)

    def mkdir(self, path: str) -> None:
        """Make a folder."""
        self._call("nfs_mkdir", f"/{path}")

    def rename(self, source: str, target: str) -> None:
        """Rename or move."""
        self._call("nfs_rename", f"/{source}", f"/{target}")

    def unlink(self, path: str) -> None:
        """Delete a file."""
        self._call("nfs_unlink", f"/{path}")

    def _call(self, name: str, *arguments: object) -> None:
        given = [each.encode() if isinstance(each, str) else each for each in arguments]
        status = getattr(self._library, name)(self._context, *given)
        assert status >= 0, f"{name}{arguments}: {self._library.nfs_get_error(self._context)!r}"

    def _start(self) -> None:
        program = _program()
        assert program is not None, missing()
        library = Path(program).resolve().parents[1] / "lib"
        plugins = next(path.parent for path in library.glob("**/libfsalvfs.so"))
        configuration = self._folder / "ganesha.conf"
        configuration.write_text(
            _CONFIGURATION.format(port=self._port.number, folder=self._folder, root=self._root, plugins=plugins)
        )
        words = [
            program,
            "-F",
            "-f",
            str(configuration),
            "-L",
            str(self._folder / "log"),
            "-p",
            str(self._folder / "pid"),
        ]
        with (self._folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                words, env=_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        until(self._listens, "the NFS server to listen")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.create_connection(("127.0.0.1", self._port.number), timeout=1):
            return True

    def _connect(self) -> None:
        self._context = ctypes.c_void_p(self._library.nfs_init_context())
        address = f"nfs://127.0.0.1/drive?version=4&nfsport={self._port.number}"
        assert self._library.nfs_parse_url_dir(self._context, address.encode()), address
        self._call("nfs_mount", "127.0.0.1", "/drive")
