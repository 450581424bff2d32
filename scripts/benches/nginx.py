"""nginx as the yardstick: the Debian package, unpacked into a folder of the bench, never installed, never a service.

It serves files over one worker with sendfile, keep-alive and no log: the most that this machine gives over loopback.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from scripts.benches.running import BenchFailedError, Program

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

PACKAGE = "nginx"
_CONFIGURATION = """
daemon off; pid {base}/nginx.pid; error_log {base}/error.log; worker_processes 1; {user}
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
    client_body_temp_path {base}/t; proxy_temp_path {base}/t; fastcgi_temp_path {base}/t; uwsgi_temp_path {base}/t;
    scgi_temp_path {base}/t;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def serve(stack: ExitStack, base: Path, root: Path) -> tuple[str, int]:
    """Serve `root` until the stack ends; where."""
    base.mkdir()
    program = _program(base)
    port = _free_port()
    configuration = base / "nginx.conf"
    user = "user root;" if _is_root() else ""
    configuration.write_text(_CONFIGURATION.format(base=base, port=port, root=root, user=user), encoding="utf-8")
    running = Program([program, "-c", configuration, "-p", base, "-e", base / "error.log"], base / "nginx.log")
    stack.callback(running.close)
    running.await_true(lambda: _listens(port), "nginx")
    return "127.0.0.1", port


def version(base: Path) -> str:
    """What it calls itself."""
    done = subprocess.run([_program(base), "-v"], capture_output=True, text=True, check=False)
    return done.stderr.strip().removeprefix("nginx version: ")


def _program(base: Path) -> str:
    """The machine's own, or the package's, unpacked here."""
    unpacked = base / "package" / "usr" / "sbin" / "nginx"
    installed = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if installed is not None:
        return installed
    if not unpacked.exists():
        _unpack(base)
    return str(unpacked)


def _unpack(base: Path) -> None:
    fetched = subprocess.run(["apt-get", "download", PACKAGE], cwd=base, capture_output=True, text=True, check=False)
    packages = list(base.glob(f"{PACKAGE}_*.deb"))
    if fetched.returncode != 0 or not packages:
        raise BenchFailedError(f"the yardstick needs nginx: install it (apt-get install {PACKAGE}): {fetched.stderr}")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(base / "package")], check=True)


def _is_root() -> bool:
    done = subprocess.run(["id", "-u"], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
