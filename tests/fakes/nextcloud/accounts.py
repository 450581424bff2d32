"""Everything beside the files: capabilities, app passwords, the login flow, the state of the server."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.fakes.nextcloud.account import Refusal
from tests.fakes.nextcloud.wire import Call, Reply, as_json

if TYPE_CHECKING:
    from tests.fakes.nextcloud.account import Account

VERSION = "31.0.2"


def _ocs(data: Any, *, status: int = 200) -> Reply:  # noqa: ANN401 - JSON
    meta = {"status": "ok" if status < 300 else "failure", "statuscode": status, "message": None}
    return as_json({"ocs": {"meta": meta, "data": data}}, status)


class SignIn:
    """Who may sign in, with the person's own password or with app passwords."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.app_passwords: set[str] = set()
        self.sessions: set[str] = set()
        self.flows: dict[str, bool] = {}  # token: was it granted?

    def knows(self, user: str, password: str) -> bool:
        return user == self.user and (password == self.password or password in self.app_passwords)

    def revoke_all(self) -> None:
        """As a person who removes every device, or changes the password."""
        self.app_passwords.clear()
        self.sessions.clear()
        self.password = secrets.token_hex(8)

    def new_app_password(self) -> str:
        made = secrets.token_urlsafe(24)
        self.app_passwords.add(made)
        return made

    # --- login flow, version 2: without a password so far

    def flow(self, call: Call) -> Reply:
        if call.path == "/index.php/login/v2" and call.method == "POST":
            token = secrets.token_hex(32)
            self.flows[token] = False
            poll = {"token": token, "endpoint": f"{call.base_url}/index.php/login/v2/poll"}
            return as_json({"poll": poll, "login": f"{call.base_url}/index.php/login/v2/flow/{token[:16]}"})
        token = parse_qs(call.body.decode()).get("token", [""])[0]
        if call.path != "/index.php/login/v2/poll" or not self.flows.get(token, False) or call.method != "POST":
            return as_json([], 404)
        del self.flows[token]  # not before: the person may click at this very moment
        return as_json({"server": call.base_url, "loginName": self.user, "appPassword": self.new_app_password()})

    def grant(self) -> None:
        """The person clicks on «Grant access»."""
        self.flows = dict.fromkeys(self.flows, True)


class Ocs:
    """`/ocs/v2.php`, and `/status.php`."""

    def __init__(self, account: Account, sign_in: SignIn) -> None:
        self.account, self.sign_in = account, sign_in
        self.has_push = False
        self.has_bulk = True

    def status(self) -> Reply:
        told = {"installed": True, "maintenance": False, "needsDbUpgrade": False, "version": f"{VERSION}.1"}
        return as_json(told | {"versionstring": VERSION, "edition": "", "productname": "Nextcloud"})

    def answer(self, call: Call) -> Reply:
        if call.headers.get("ocs-apirequest", "").lower() != "true":
            raise Refusal(412, "CSRF check failed")
        asked = call.path.removeprefix("/ocs/v1.php").removeprefix("/ocs/v2.php")
        if asked == "/cloud/capabilities":
            return _ocs(self._capabilities(call))
        if asked == "/cloud/user":
            quota = {"free": -3, "used": self.account.root.size, "total": -3, "relative": 0}
            return _ocs({"id": self.sign_in.user, "display-name": self.sign_in.user, "quota": quota})
        if asked == "/core/getapppassword":
            if call.password in self.sign_in.app_passwords:
                return _ocs([], status=403)
            return _ocs({"apppassword": self.sign_in.new_app_password()})
        if asked == "/core/apppassword" and call.method == "DELETE":
            self.sign_in.app_passwords.discard(call.password or "")
            return _ocs([])
        return _ocs([], status=404)

    def _capabilities(self, call: Call) -> dict[str, Any]:
        told: dict[str, Any] = {
            "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
            "dav": {"chunking": "1.0"} | ({"bulkupload": "1.0"} if self.has_bulk else {}),
            "files": {
                "bigfilechunking": True,
                "undelete": self.account.has_trash,
                "versioning": self.account.has_versions,
                "chunked_upload": {"max_size": 100 << 20, "max_parallel_count": 5},
            },
        }
        if self.has_push:
            socket = call.base_url.replace("http", "ws", 1) + "/push/ws"
            told["notify_push"] = {"type": ["files"], "endpoints": {"websocket": socket}}
        version = {"major": 31, "minor": 0, "micro": 2, "string": VERSION, "edition": "", "extendedSupport": False}
        return {"version": version, "capabilities": told}
