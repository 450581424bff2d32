"""A Cyrus with one user whose drive (`httpmodules: webdav`) is served; its mail is never delivered or asked for.

It is not installed: its Debian packages bring along a mail server. scripts/setup unpacks them beside the tests' Python,
where nothing starts them; ANCHORFS_CYRUS names another folder (`/`: what this machine has installed).
"""

from __future__ import annotations

import contextlib
import functools
import imaplib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sync.remotes.dav.signing import Basic
from tests.harness.davs import DavServer
from tests.harness.ports import Port
from tests.harness.waiting import DEADLINE_S

_UNPACKED = Path(sys.prefix) / "cyrus"
_PLACE = Path(os.environ.get("ANCHORFS_CYRUS", _UNPACKED if _UNPACKED.exists() else "/"))
_BIN = "usr/lib/cyrus/bin"
_ZONES = "Etc/UTC\n"  # it wants one at least; a container may have no tzdata
_NEEDED = ("master", "httpd", "imapd", "ctl_cyrusdb")
_IMAPD = """
configdirectory: {folder}/conf
defaultpartition: default
partition-default: {folder}/spool
admins: cyrus
allowplaintext: yes
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN
httpmodules: webdav
virtdomains: off
cyrus_user: www-data
idlesocket: {folder}/conf/socket/idle
notifysocket: {folder}/conf/socket/notify
lmtpsocket: {folder}/conf/socket/lmtp
search_engine: none
zoneinfo_dir: {folder}/zones
"""
_CYRUS = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  http cmd="{bin}/httpd -C {folder}/imapd.conf" listen="127.0.0.1:{port}" prefork=1 proto="tcp4"
  imap cmd="{bin}/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{imap_port}" prefork=0 proto="tcp4"
}}
EVENTS {{
}}
"""


class Cyrus(DavServer):
    """Locks that cannot be given back, tags that change with the name, no empty files."""

    name = "cyrus"
    credential = Basic("me", "any")

    def __init__(self) -> None:
        super().__init__()
        self._imap = Port()
        self._place = _PLACE
        if Path("/") != _PLACE:  # a checkout may be in a folder that is closed to the user it serves as
            self._place = self.folder / "unpacked"
            shutil.copytree(_PLACE, self._place, symlinks=True)

    @classmethod
    def missing(cls) -> str | None:
        """As `DavServer`."""
        if not all((_PLACE / _BIN / each).exists() for each in _NEEDED):
            return "neither installed nor unpacked by scripts/setup, for root alone: cyrus-imapd, cyrus-caldav"
        if os.getuid() != 0:
            return "Cyrus wants to be started by root"
        return _why_not()

    @property
    def url(self) -> str:
        """As `DavServer`."""
        return f"http://127.0.0.1:{self.port}/dav/drive/user/me"

    def _command(self) -> list[str]:
        for each in ("conf/socket", "conf/proc", "spool", "zones"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        values = {"folder": self.folder, "bin": self._place / _BIN, "port": self.port, "imap_port": self._imap.number}
        (self.folder / "zones" / "zones.tab").write_text(_ZONES)
        (self.folder / "imapd.conf").write_text(_IMAPD.format(**values))
        (self.folder / "cyrus.conf").write_text(_CYRUS.format(**values))
        self.folder.chmod(0o755)
        subprocess.run(["chown", "-R", "www-data:www-data", str(self.folder)], check=True)
        config = ["-C", f"{self.folder}/imapd.conf", "-M", f"{self.folder}/cyrus.conf"]
        master = [str(self._place / _BIN / "master"), "-D", "-p", f"{self.folder}/master.pid"]
        return ["env", *self._libraries(), *master, *config]

    def _libraries(self) -> list[str]:
        """What was unpacked finds its libraries."""
        if Path("/") == self._place:
            return []
        folders = {str(each.parent) for each in self._place.glob("usr/lib/*-linux-gnu*/*.so*")}
        folders |= {str(each.parent) for each in self._place.glob("lib/*-linux-gnu*/*.so*")}
        return [f"LD_LIBRARY_PATH={':'.join(sorted(folders))}"]

    def _answers(self) -> bool:
        return super()._answers() and self._has_user()

    def _has_user(self) -> bool:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            with (
                contextlib.suppress(OSError, imaplib.IMAP4.error),
                imaplib.IMAP4("127.0.0.1", self._imap.number, timeout=DEADLINE_S) as admin,
            ):
                admin.login("cyrus", "any")
                done, _ = admin.create("user/me")
                return done == "OK"
            time.sleep(0.1)
        return False


@functools.cache
def _why_not() -> str | None:
    """It is tried once: what was never installed may lack whatever an installation looks after."""
    try:
        with Cyrus():
            return None
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return f"Cyrus does not start here: {error}"
