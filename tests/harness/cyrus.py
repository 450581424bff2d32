"""A Cyrus of this machine, or unpacked in a folder, with one user whose drive (`httpmodules: webdav`) is served.

Its Debian packages bring along a mail server, so nothing installs them for the tests. Unpacked (dpkg -x) is enough:
ANCHORFS_CYRUS names the folder then.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import subprocess
import time
from pathlib import Path

from sync.remotes.dav.signing import Basic
from tests.harness.davs import START_WITHIN_S, DavServer, free_port

PLACE = Path(os.environ.get("ANCHORFS_CYRUS", "/"))
_BIN = PLACE / "usr/lib/cyrus/bin"
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
    """Locks that cannot be given back, tags that change with the name."""

    name = "cyrus"
    credential = Basic("me", "any")

    def __init__(self) -> None:
        super().__init__()
        self._imap_port = 0

    @classmethod
    def missing(cls) -> str | None:
        """As `DavServer`."""
        if all((_BIN / each).exists() for each in _NEEDED):
            return None if os.getuid() == 0 else "Cyrus wants to be started by root"
        return "Cyrus is not here: apt-get install cyrus-imapd cyrus-caldav, or unpack them and set ANCHORFS_CYRUS"

    @property
    def url(self) -> str:
        """As `DavServer`."""
        return f"http://127.0.0.1:{self.port}/dav/drive/user/me"

    def _command(self) -> list[str]:
        self._imap_port = free_port()
        for each in ("conf/socket", "conf/proc", "spool"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        values = {"folder": self.folder, "bin": _BIN, "port": self.port, "imap_port": self._imap_port}
        (self.folder / "imapd.conf").write_text(_IMAPD.format(**values))
        (self.folder / "cyrus.conf").write_text(_CYRUS.format(**values))
        self.folder.chmod(0o755)
        subprocess.run(["chown", "-R", "www-data:www-data", str(self.folder)], check=True)
        libraries = {str(each.parent) for each in PLACE.glob("**/*.so*")} if Path("/") != PLACE else set()
        found = f"LD_LIBRARY_PATH={':'.join(sorted(libraries))}"
        config = ["-C", f"{self.folder}/imapd.conf", "-M", f"{self.folder}/cyrus.conf"]
        return ["env", found, str(_BIN / "master"), "-D", *config, "-p", f"{self.folder}/master.pid"]

    def _answers(self) -> bool:
        return super()._answers() and self._has_user()

    def _has_user(self) -> bool:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                admin = imaplib.IMAP4("127.0.0.1", self._imap_port)
                admin.login("cyrus", "any")
                done, _ = admin.create("user/me")
                admin.logout()
                return done == "OK"
            time.sleep(0.1)
        return False

    def close(self) -> None:
        """As `DavServer`; its services are processes of their own groups."""
        pids = [int(each.name) for each in (self.folder / "conf" / "proc").glob("[0-9]*")]
        super().close()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        shutil.rmtree(self.folder, ignore_errors=True)
