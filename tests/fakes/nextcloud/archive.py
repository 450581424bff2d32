"""The trash (`/remote.php/dav/trashbin`) and older contents (`/remote.php/dav/versions`)."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from tests.fakes.nextcloud.account import Node, Refusal, TrashedNode
from tests.fakes.nextcloud.wire import Call, Reply, multi
from tests.fakes.nextcloud.xml import DAV, NC, OC, asked_properties, multistatus, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.nextcloud.account import Account


class Trashbin:
    """The trash of one account."""

    def __init__(self, account: Account, user: str) -> None:
        self.account, self.base = account, f"/remote.php/dav/trashbin/{user}"

    def answer(self, call: Call, path: str) -> Reply:
        part, _, name = path.partition("/")
        if not self.account.has_trash or part not in {"trash", ""}:
            raise Refusal(404)
        if call.method == "PROPFIND":
            return self._list(call, name)
        trashed = self._find(name)
        if call.method == "DELETE":
            self.account.trash.remove(trashed)
            return Reply(status=204)
        if call.method == "MOVE":
            target = unquote(urlsplit(call.headers.get("destination", "")).path)
            if not target.startswith(f"{self.base}/restore/"):
                raise Refusal(403)
            self.account.restore(trashed)
            return Reply(status=201)
        raise Refusal(405)

    def _list(self, call: Call, name: str) -> Reply:
        asked, deep = asked_properties(call.body), call.headers.get("depth", "1") != "0"
        if not name:
            rows = [row(f"{self.base}/trash/", {f"{{{DAV}}}resourcetype": lambda: "<d:collection/>"}, asked)]
            rows += [self._row(each, each.node, each.name, asked) for each in self.account.trash if deep]
            return multi(multistatus(rows))
        trashed, _, below = self._find(name), *name.partition("/")[1:]
        node = trashed.node
        for part in filter(None, below.split("/")):
            node = node.children[part]
        rows = [self._row(trashed, node, name, asked)]
        rows += [self._row(trashed, each, f"{name}/{each.name}", asked) for each in node.children.values() if deep]
        return multi(multistatus(rows))

    def _find(self, name: str) -> TrashedNode:
        wanted = name.partition("/")[0]
        found = next((each for each in self.account.trash if each.name == wanted), None)
        if found is None:
            raise Refusal(404)
        return found

    def _row(self, trashed: TrashedNode, node: Node, name: str, asked: list[str]) -> str:
        told: dict[str, Callable[[], str]] = {
            f"{{{DAV}}}resourcetype": lambda: "<d:collection/>" if node.is_folder else "",
            f"{{{DAV}}}getetag": lambda: str(trashed.deleted_s),
            f"{{{OC}}}fileid": lambda: str(node.file_id),
            f"{{{OC}}}size": lambda: str(node.size),
            f"{{{NC}}}trashbin-filename": lambda: escape(node.name),
            f"{{{NC}}}trashbin-original-location": lambda: escape(trashed.location),
            f"{{{NC}}}trashbin-deletion-time": lambda: str(trashed.deleted_s),
        }
        if not node.is_folder:
            told[f"{{{DAV}}}getcontentlength"] = lambda: str(node.size)
        return row(f"{self.base}/trash/{name}" + ("/" if node.is_folder else ""), told, asked)


class Versions:
    """The older contents of one account's files."""

    def __init__(self, account: Account, user: str) -> None:
        self.account, self.base = account, f"/remote.php/dav/versions/{user}"

    def answer(self, call: Call, path: str) -> Reply:
        parts = path.split("/")
        if not self.account.has_versions or parts[0] != "versions" or len(parts) not in {2, 3}:
            raise Refusal(404)
        node = self.account.by_id(int(parts[1])) if parts[1].isdigit() else None
        if node is None or node.is_folder:
            raise Refusal(404)
        kept = self.account.versions.get(node.file_id, [])
        if call.method == "PROPFIND" and len(parts) == 2:
            return self._list(call, node)
        old = next((each for each in kept if len(parts) == 3 and str(each.mtime_s) == parts[2]), None)
        if old is None:
            raise Refusal(404)
        if call.method == "GET":
            return Reply(status=200, headers={"etag": f'"{old.mtime_s}"'}, body=old.data)
        target = unquote(urlsplit(call.headers.get("destination", "")).path)
        if call.method != "MOVE" or not target.startswith(f"{self.base}/restore/"):
            raise Refusal(403)
        self.account.roll_back(node, old)
        return Reply(status=204)

    def _list(self, call: Call, node: Node) -> Reply:
        """The current content is among them, as the server tells it since 26."""
        asked, base = asked_properties(call.body), f"{self.base}/versions/{node.file_id}"
        rows = [row(f"{base}/", {f"{{{DAV}}}resourcetype": lambda: "<d:collection/>"}, asked)]
        told = [(each.mtime_s, len(each.data)) for each in self.account.versions.get(node.file_id, [])]
        for mtime_s, size in [*told, (node.mtime_s, node.size)]:
            facts: dict[str, Callable[[], str]] = {
                f"{{{DAV}}}resourcetype": str,
                f"{{{DAV}}}getcontentlength": lambda size=size: str(size),
                f"{{{DAV}}}getlastmodified": lambda mtime_s=mtime_s: formatdate(mtime_s, usegmt=True),
                f"{{{DAV}}}getetag": lambda mtime_s=mtime_s: f"&quot;{mtime_s}&quot;",
            }
            rows.append(row(f"{base}/{mtime_s}", facts, asked))
        return multi(multistatus(rows))
