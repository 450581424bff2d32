"""What clients ask of a server, request by request, and what it holds after each.

Every request can be said again: under its key, or, for bytes of an upload, from where the server says that it stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.crash.client.script import Step, Tree
from tests.harness.tus import MEDIA_TYPE, VERSION, metadata

Json = dict[str, Any]
BIG = "all of it, " * 6000

SCRIPT = (
    Step("put", "a", "alpha"), Step("put", "a", "alpha, again"), Step("mkdir", "top"), Step("put", "top/b", "beta"),
    Step("mkdir", "top/inner"), Step("put", "top/inner/c", "gamma"), Step("symlink", "link", "a"),
    Step("move", "a", "top/moved"), Step("put", "doc", "old"), Step("put", "tmp", "new"), Step("move", "tmp", "doc"),
    Step("chmod", "doc", at=0o600), Step("copy", "top", "twin"), Step("delete", "twin/b"), Step("delete", "top"),
    Step("restore", "top"), Step("old version", "top/moved", "alpha"), Step("begin", "big", BIG, 30_000),
    Step("finish", "big", BIG), Step("delete", "link"), Step("purge", "link"), Step("delete", "twin"),
)  # fmt: skip


def trees() -> list[Tree]:
    """The tree before the first request, and after each."""
    found: list[Tree] = [{}]
    for step in SCRIPT:
        found.append(_after(found, step))
    return found


def below(tree: Tree, path: str) -> Tree:
    """What is there and below."""
    return {each: what for each, what in tree.items() if each == path or each.startswith(f"{path}/")}


def _after(before: list[Tree], step: Step) -> Tree:
    new = dict(before[-1])
    match step.word:
        case "put" | "finish" | "old version":
            new[step.path] = step.more
        case "mkdir":
            new[step.path] = None
        case "symlink":
            new[step.path] = f"-> {step.more}"
        case "move" | "copy":
            taken = below(new, step.path)
            if step.word == "move":
                new = {path: what for path, what in new.items() if path not in taken}
            new |= {step.more + path.removeprefix(step.path): what for path, what in taken.items()}
        case "delete":
            new = {path: what for path, what in new.items() if path not in below(new, step.path)}
        case "restore":
            new |= below(next(tree for tree in reversed(before) if step.path in tree), step.path)
    return new


@dataclass(slots=True)
class Asking:
    """Performs the script. What is asked is made up once, so that it can be asked again after a crash."""

    client: httpx.Client = field(default_factory=httpx.Client)
    anchor: str = ""  # where the story begins
    done: int = 0
    _seen: dict[str, Json] = field(default_factory=dict)  # path → item, as it was told last
    _first_version: dict[str, str] = field(default_factory=dict)  # by id
    _upload: str = ""
    _root: str = ""
    _asked: Json | None = None

    def go_on(self) -> None:
        """The rest of the script; httpx.TransportError when the server dies."""
        self.anchor = self.anchor or self.client.get("/v1/changes?limit=0").raise_for_status().json()["anchor"]
        while self.done < len(SCRIPT):
            step = SCRIPT[self.done]
            if self._asked is None:
                self._look()
                self._asked = self._request(step)
            if step.word == "finish":
                self._send_rest(step)
            else:
                answer = self.client.request(**self._asked).raise_for_status()
                self._upload = answer.headers.get("location", "") if step.word == "begin" else self._upload
            self.done, self._asked = self.done + 1, None

    def told(self) -> tuple[Tree, dict[str, Json]]:
        """The tree as the server tells it, and its items by id."""
        listed = self._listed()
        tree = {path: self._body(item) for path, item in listed.items()}
        return tree, {item["item_id"]: item for item in listed.values()}

    def _listed(self) -> dict[str, Json]:
        """Path → item; a folder is told before what is in it."""
        paths = {self._root_id(): ""}
        found: dict[str, Json] = {}
        walk = self.client.get(f"/v1/items/{self._root_id()}/descendants").raise_for_status().text
        for line in walk.splitlines()[:-1]:
            item = json.loads(line)["item"]
            path = f"{paths[item['parent_id']]}/{item['name']}".removeprefix("/")
            paths[item["item_id"]], found[path] = path, item
        return found

    def _root_id(self) -> str:
        if not self._root:
            self._root = self.client.get("/v1/root").raise_for_status().json()["item_id"]
        return self._root

    def from_the_feed(self) -> dict[str, Json]:
        """The items as somebody has them who was told of every change since the story began."""
        known: dict[str, Json] = {}
        anchor, more = self.anchor, True
        while more:
            page = self.client.get("/v1/changes", params={"anchor": anchor}).raise_for_status().json()
            for change in page["changes"]:
                if change["type"] == "deleted":
                    known.pop(change["item_id"], None)
                else:
                    known[change["item"]["item_id"]] = change["item"]
            anchor, more = page["anchor"], page["has_more"]
        return known

    def _body(self, item: Json) -> str | None:
        if item["is_folder"]:
            return None
        if item["kind"] == "symlink":
            return f"-> {item['symlink_target']}"
        return self.client.get(f"/v1/items/{item['item_id']}/content").raise_for_status().text

    def _look(self) -> None:
        self._seen |= self._listed()
        for item in self._seen.values():
            if item.get("content_version"):
                self._first_version.setdefault(item["item_id"], item["content_version"])

    def _id(self, path: str) -> str:
        return str(self._seen[path]["item_id"]) if path else self._root_id()

    def _place(self, path: str) -> Json:
        folder, _, name = path.rpartition("/")
        return {"parent_id": self._id(folder), "name": name}

    def _send_rest(self, step: Step) -> None:
        where = self.client.head(self._upload, headers=VERSION).raise_for_status()
        offset = int(where.headers["upload-offset"])
        told = VERSION | MEDIA_TYPE | {"upload-offset": str(offset)}
        if offset < len(step.more):
            self.client.patch(self._upload, content=step.more[offset:], headers=told).raise_for_status()

    def _request(self, step: Step) -> Json:
        key = {"idempotency-key": f'"step-{self.done}"'}
        match step.word:
            case "put":
                return self._put(step, key)
            case "mkdir" | "symlink":
                what = {"kind": "folder"} if step.word == "mkdir" else {"kind": "symlink", "symlink_target": step.more}
                return {"method": "POST", "url": "/v1/items", "json": self._place(step.path) | what, "headers": key}
            case "begin":
                told = metadata(filename=step.path) | {"upload-length": str(len(step.more))}
                body = step.more[: step.at]
                return {"method": "POST", "url": "/v1/uploads", "content": body, "headers": {
                    **VERSION, **MEDIA_TYPE, **told, **key,
                }}  # fmt: skip
            case "finish":
                return {}
            case _:
                return self._change(step, key)

    def _put(self, step: Step, key: dict[str, str]) -> Json:
        if old := self._seen.get(step.path):
            url, condition = f"/v1/items/{old['item_id']}/content", {"if-match": f'"{old["content_version"]}"'}
        else:
            place = self._place(step.path)
            url = f"/v1/items/{place['parent_id']}/children/{place['name']}/content"
            condition = {"if-none-match": "*"}
        return {"method": "PUT", "url": url, "content": step.more, "headers": condition | key}

    def _change(self, step: Step, key: dict[str, str]) -> Json:
        item = self._seen[step.path]
        url = f"/v1/items/{item['item_id']}"
        named = {"headers": {"if-match": f'"{item["metadata_version"]}"', **key}}
        match step.word:
            case "move":
                body = self._place(step.more)
                if over := self._seen.get(step.more):
                    body["replace"] = {"item_id": over["item_id"], "content_version": over["content_version"]}
                return {"method": "PATCH", "url": url, "json": body, **named}
            case "chmod":
                return {"method": "PATCH", "url": url, "json": {"mode": step.at}, **named}
            case "copy":
                return {"method": "POST", "url": f"{url}:copy", "json": self._place(step.more), "headers": key}
            case "delete":
                anchor = self.client.get("/v1/changes?limit=0").json()["anchor"]
                return {"method": "DELETE", "url": url, "params": {"recursive": "true", "anchor": anchor}, **named}
            case "restore":
                return {"method": "POST", "url": f"{url}:restore", "json": {}, "headers": key}
            case "purge":
                return {"method": "DELETE", "url": f"/v1/trash/{item['item_id']}", **self._as_trashed(item, key)}
        body = {"content_version": self._first_version[item["item_id"]]}
        exact = {"headers": {"if-match": f'"{item["content_version"]}"', **key}}
        return {"method": "POST", "url": f"{url}:restoreVersion", "json": body, **exact}

    def _as_trashed(self, item: Json, key: dict[str, str]) -> Json:
        listed = self.client.get("/v1/trash").raise_for_status().json()["items"]
        found = next(each for each in listed if each["item_id"] == item["item_id"])
        return {"headers": {"if-match": f'"{found["metadata_version"]}"', **key}}
