"""The feed of a folder and of a subtree; of a token with a root; expired anchors; the long poll of a scope."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.auth import create_token
from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S, until

from .conftest import LONG_POLL_S, Api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]


def told(page: Json) -> list[tuple[str, str]]:
    """(item_id, "changed" or the reason of a deletion), in feed order."""
    return [
        (change["item"]["item_id"], "changed") if change["type"] == "changed" else (change["item_id"], change["reason"])
        for change in page["changes"]
    ]


class Home:
    """home/{inside/{below}, outside}."""

    def __init__(self, api: Api, home: Json) -> None:
        self.api = api
        self.inside = api.create(home["item_id"], "inside").json()
        self.below = api.create(self.inside["item_id"], "below").json()
        self.outside = api.create(home["item_id"], "outside").json()

    def shallow(self, anchor: str, **params: str) -> Json:
        return self.api.changes(anchor, scope=self.inside["item_id"], **params)

    def deep(self, anchor: str, **params: str) -> Json:
        return self.api.changes(anchor, scope=self.inside["item_id"], deep="true", **params)


@pytest.fixture
def tree(api: Api, home: Json) -> Home:
    return Home(api, home)


def test_only_what_happens_inside_is_told(api: Api, tree: Home) -> None:
    anchor = api.anchor()
    child = api.create(tree.inside["item_id"], "child", "file").json()
    grandchild = api.create(tree.below["item_id"], "grandchild", "file").json()
    api.create(tree.outside["item_id"], "stranger", "file")
    assert told(tree.shallow(anchor)) == [(child["item_id"], "changed")]
    assert told(tree.deep(anchor)) == [(child["item_id"], "changed"), (grandchild["item_id"], "changed")]
    assert told(tree.shallow(anchor, deep="false")) == [(child["item_id"], "changed")]
    assert tree.shallow(anchor)["anchor"] == tree.deep(anchor)["anchor"] == api.anchor()


def test_moved_in_is_changed_and_moved_out_is_deleted(api: Api, tree: Home) -> None:
    leaves = api.create(tree.inside["item_id"], "leaves", "file").json()
    deeper = api.create(tree.below["item_id"], "deeper", "file").json()
    comes = api.create(tree.outside["item_id"], "comes", "file").json()
    anchor = api.anchor()
    api.patch(leaves, parent_id=tree.outside["item_id"])
    api.patch(deeper, parent_id=tree.outside["item_id"])
    api.patch(comes, parent_id=tree.inside["item_id"])
    left, came = (leaves["item_id"], "moved_out"), (comes["item_id"], "changed")
    assert told(tree.shallow(anchor)) == [left, came]
    assert told(tree.deep(anchor)) == [left, (deeper["item_id"], "moved_out"), came]
    assert tree.deep(anchor)["changes"][0]["parent_id"] == tree.inside["item_id"]
    assert "moved_out" not in str(api.changes(anchor))


def test_a_move_inside_leaves_the_folder_but_not_the_subtree(api: Api, tree: Home) -> None:
    item = api.create(tree.inside["item_id"], "item", "file").json()
    anchor = api.anchor()
    api.patch(item, parent_id=tree.below["item_id"])
    assert told(tree.shallow(anchor)) == [(item["item_id"], "moved_out")]
    assert told(tree.deep(anchor)) == [(item["item_id"], "changed")]


def test_out_and_back_again(api: Api, tree: Home) -> None:
    item = api.create(tree.inside["item_id"], "item", "file").json()
    anchor = api.anchor()
    item = api.patch(item, parent_id=tree.outside["item_id"]).json()
    api.patch(item, parent_id=tree.inside["item_id"])
    assert told(tree.shallow(anchor)) == [(item["item_id"], "changed")]
    assert {kind for _, kind in told(tree.deep(anchor))} == {"changed"}


def test_tombstones_stay_in_their_scope(api: Api, tree: Home) -> None:
    child = api.create(tree.inside["item_id"], "child", "file").json()
    grandchild = api.create(tree.below["item_id"], "grandchild", "file").json()
    stranger = api.create(tree.outside["item_id"], "stranger", "file").json()
    anchor = api.anchor()
    for item in (stranger, grandchild, child):
        assert api.delete(item).status_code == 204
    assert told(tree.shallow(anchor)) == [(child["item_id"], "deleted")]
    assert told(tree.deep(anchor)) == [(grandchild["item_id"], "deleted"), (child["item_id"], "deleted")]


def test_a_folder_takes_along_what_lies_below_it(api: Api, tree: Home) -> None:
    grandchild = api.create(tree.below["item_id"], "grandchild", "file").json()
    anchor = api.anchor()
    api.patch(tree.below, parent_id=tree.outside["item_id"])
    api.delete(grandchild)
    assert told(tree.deep(anchor)) == [(tree.below["item_id"], "moved_out")]


def test_pages_of_a_scope_skip_nothing(api: Api, tree: Home) -> None:
    anchor, expected = api.anchor(), []
    for number in range(12):
        api.create(tree.outside["item_id"], f"stranger-{number}", "file")
        expected.append(api.create(tree.below["item_id"], f"{number}", "file").json()["item_id"])
    seen: list[str] = []
    more = True
    while more:
        page = tree.deep(anchor, limit="2")
        assert len(page["changes"]) <= 2
        seen += [item_id for item_id, _ in told(page)]
        anchor, more = page["anchor"], page["has_more"]
    assert seen == expected


def test_the_scope_itself(api: Api, tree: Home) -> None:
    anchor = api.anchor()
    renamed = api.patch(tree.inside, name="renamed").json()
    assert told(tree.shallow(anchor)) == told(tree.deep(anchor)) == [(renamed["item_id"], "changed")]
    api.delete(tree.below)
    api.delete(renamed)
    gone = api.http.get("/v1/changes", params={"anchor": anchor, "scope": renamed["item_id"]})
    assert (gone.status_code, gone.json()["code"]) == (410, "deleted")


def test_what_is_no_scope(api: Api, tree: Home) -> None:
    file = api.create(tree.inside["item_id"], "file", "file").json()
    for params, status, code in (
        ({"scope": "nothing"}, 404, "not_found"),
        ({"scope": file["item_id"]}, 409, "not_a_folder"),
        ({"scope": tree.inside["item_id"], "deep": "yes"}, 400, "invalid_request"),
        ({"deep": "true"}, 400, "invalid_request"),
    ):
        answer = api.http.get("/v1/changes", params={"anchor": api.anchor(), **params})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_limit_zero_of_a_scope_tells_the_newest_anchor(api: Api, tree: Home) -> None:
    page = api.http.get("/v1/changes", params={"limit": "0", "scope": tree.inside["item_id"]}).json()
    assert page == {"changes": [], "anchor": api.anchor(), "has_more": False}


def test_the_long_poll_of_a_scope_waits_for_its_own_news(api: Api, tree: Home, shared_server: ServerProcess) -> None:
    anchor = api.anchor()
    answers: list[Json] = []

    def poll() -> None:
        with shared_server.client(timeout_s=DEADLINE_S) as client:
            answers.append(
                client.get(
                    "/v1/changes", params={"anchor": anchor, "scope": tree.inside["item_id"], "wait": LONG_POLL_S}
                ).json()
            )

    waiting = threading.Thread(target=poll)
    waiting.start()
    api.create(tree.outside["item_id"], "not for it", "file")
    mine = api.create(tree.inside["item_id"], "for it", "file").json()
    waiting.join(timeout=DEADLINE_S)
    assert [told(answer) for answer in answers] == [[(mine["item_id"], "changed")]]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Api, Api]]:
    """Clients of the whole drive and of its folder `part`, on one server."""
    (tmp_path / "root" / "part").mkdir(parents=True)
    with ServerProcess(tmp_path) as server:
        limited = create_token(server.state / "tokens.json", name="part", root="/part")
        with server.client() as whole, server.client(token=limited) as part:
            yield Api(whole), Api(part)


def test_a_tokens_root_is_its_scope(pair: tuple[Api, Api]) -> None:
    whole, part = pair
    root, mine = whole.root(), part.root()
    elsewhere = whole.create(root["item_id"], "elsewhere").json()
    sub = whole.create(mine["item_id"], "sub").json()
    item = whole.create(sub["item_id"], "item", "file").json()
    outside = {"anchor": part.anchor(), "scope": elsewhere["item_id"]}
    assert part.http.get("/v1/changes", params=outside).status_code == 404
    anchor = part.anchor()
    whole.create(elsewhere["item_id"], "secret", "file")
    item = whole.patch(item, parent_id=elsewhere["item_id"]).json()
    gone = (item["item_id"], "not_visible")
    assert told(part.changes(anchor)) == [gone]
    assert told(part.changes(anchor, scope=sub["item_id"])) == [gone]
    assert told(whole.changes(anchor, scope=sub["item_id"])) == [(item["item_id"], "moved_out")]
    whole.delete(item)
    assert told(part.changes(anchor)) == [gone], "what became of it outside is not told"
    assert told(whole.changes(anchor, scope=sub["item_id"])) == [(item["item_id"], "deleted")]


def expired(api: Api, anchor: str, path: str = "/v1/changes", *, lost: bool = False) -> bool:
    with api.http.stream("GET", path, params={"anchor": anchor}) as answer:
        if answer.status_code != 410:
            return False
        answer.read()
        assert (answer.json()["code"], answer.json()["lost"]) == ("anchor_expired", lost)
        assert api.changes(answer.json()["anchor"])["changes"] == []
        return True


@pytest.mark.parametrize("options", [("--feed-max-rows", "3"), ("--retention", "1")])
def test_anchors_expire_with_their_tombstones(server: ServerProcess, options: tuple[str, ...]) -> None:
    server.start()
    with server.client() as client:
        api = Api(client)
        home = api.root()["item_id"]
        anchors = [api.anchor()]
        for number in range(6):
            api.delete(api.create(home, f"{number}", "file").json())
            anchors.append(api.anchor())
        assert not expired(api, anchors[0])
    server.options = options
    server.restart()

    def has_expired() -> bool:
        with server.client() as client:
            if expired(Api(client), anchors[0]):
                return True
        if "--retention" in options:  # looked after at the start, and every hour
            server.restart()
        return False

    until(has_expired, "the oldest anchor to expire")
    with server.client() as client:
        api = Api(client)
        assert expired(api, anchors[0], "/v1/changes/stream")
        assert not expired(api, anchors[-1])
        if "--feed-max-rows" in options:
            assert expired(api, anchors[2])
            assert [len(api.changes(anchor)["changes"]) for anchor in anchors[3:]] == [3, 2, 1, 0]


def test_an_anchor_ahead_of_a_restored_state_is_refused(server: ServerProcess) -> None:
    server.start()
    with server.client() as client:
        Api(client).create(Api(client).root()["item_id"], "early")
    server.stop()
    backup = {path.name: path.read_bytes() for path in server.state.glob("drive.db*")}
    server.start()
    with server.client() as client:
        Api(client).create(Api(client).root()["item_id"], "late")
        ahead = Api(client).anchor()
    server.stop()
    for path in server.state.glob("drive.db*"):
        path.unlink()
    for name, body in backup.items():
        (server.state / name).write_bytes(body)
    (server.root / "late").rmdir()
    server.start()
    with server.client() as client:
        assert expired(Api(client), ahead, lost=True)
