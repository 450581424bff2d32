"""Many items at once: everything below a folder as one stream, and finding by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from server_stub.auth import create_token

from .conftest import Api

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.server import ServerProcess

Json = dict[str, Any]


def walk(api: Api, folder_id: str, **params: str) -> tuple[list[Json], Json]:
    """(items, last line) of one stream."""
    answer = api.http.get(f"/v1/items/{folder_id}/descendants", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert all(set(line) == {"item"} for line in lines[:-1])
    return [line["item"] for line in lines[:-1]], lines[-1]


def plant(api: Api, home: Json) -> dict[str, Json]:
    """Five levels, some of them with two branches; by path."""
    planted: dict[str, Json] = {"": home}
    for path in ("a", "b", "a/c", "b/d", "b/e", "b/e/f", "b/e/f/g"):
        parent, _, name = path.rpartition("/")
        planted[path] = api.create(planted[parent]["item_id"], name).json()
    for path in ("z", "a/x", "b/e/y", "b/e/f/g/deep"):
        parent, _, name = path.rpartition("/")
        planted[path] = api.write_new(planted[parent]["item_id"], name, b"x").json()
    del planted[""]
    return planted


BREADTH_FIRST = ["a", "b", "z", "a/c", "a/x", "b/d", "b/e", "b/e/f", "b/e/y", "b/e/f/g", "b/e/f/g/deep"]


def test_everything_below_comes_breadth_first_with_an_anchor(api: Api, home: Json) -> None:
    planted = plant(api, home)
    items, last = walk(api, home["item_id"])
    assert items == [planted[path] for path in BREADTH_FIRST]
    assert last == {"anchor": api.anchor(), "cursor": None, "unchanged": True}
    file = planted["z"]
    assert api.http.get(f"/v1/items/{file['item_id']}/descendants").json()["code"] == "not_a_folder"
    assert api.http.get("/v1/items/unknown/descendants").status_code == 404


def test_a_stream_tells_whether_anything_changed_since_its_anchor(api: Api, home: Json) -> None:
    plant(api, home)
    _, first = walk(api, home["item_id"], limit="2")
    assert first["unchanged"]
    _, second = walk(api, home["item_id"], limit="2", cursor=first["cursor"])
    assert second["unchanged"]
    api.create(home["item_id"], "another")
    _, third = walk(api, home["item_id"], cursor=second["cursor"])
    assert third["anchor"] == first["anchor"]
    assert not third["unchanged"]


def test_depth_bounds_the_levels(api: Api, home: Json) -> None:
    planted = plant(api, home)
    for depth, count in ((1, 3), (2, 7), (3, 9), (9, 11)):
        items, last = walk(api, home["item_id"], depth=str(depth))
        assert items == [planted[path] for path in BREADTH_FIRST[:count]]
        assert last["cursor"] is None
    assert api.http.get(f"/v1/items/{home['item_id']}/descendants?depth=0").status_code == 400


def test_a_limited_stream_goes_on_where_it_stood_with_the_first_anchor(api: Api, home: Json) -> None:
    planted = plant(api, home)
    for limit in (1, 2, 3, 4, 11, 12):
        seen: list[Json] = []
        anchors = set()
        params = {"limit": str(limit)}
        while True:
            items, last = walk(api, home["item_id"], **params)
            assert len(items) <= limit
            seen += items
            anchors.add(last["anchor"])
            if last["cursor"] is None:
                break
            params["cursor"] = last["cursor"]
        assert seen == [planted[path] for path in BREADTH_FIRST]
        assert len(anchors) == 1
    assert api.http.get(f"/v1/items/{home['item_id']}/descendants?cursor=AAAA").json()["code"] == "cursor_invalid"


def test_nothing_is_lost_when_the_tree_changes_between_two_pages(api: Api, home: Json) -> None:
    """What the stream did not tell is in the feed after its anchor, or below a folder that the feed tells."""
    planted = plant(api, home)
    items, last = walk(api, home["item_id"], limit="9")  # stands in b/e
    told = {item["item_id"] for item in items}
    moved = api.patch(planted["b/e"], parent_id=home["item_id"], name="0").json()
    api.delete(planted["a/x"])
    late = api.write_new(planted["a/c"]["item_id"], "late", b"x").json()
    rest, end = walk(api, home["item_id"], cursor=last["cursor"])
    assert end["anchor"] == last["anchor"]
    told |= {item["item_id"] for item in rest}
    news = api.changes(last["anchor"])["changes"]
    told |= {change["item"]["item_id"] for change in news if change["type"] == "changed"}
    told -= {change["item_id"] for change in news if change["type"] == "deleted"}
    again, _ = walk(api, moved["item_id"])
    told |= {item["item_id"] for item in again}
    now, _ = walk(api, home["item_id"])
    assert told == {item["item_id"] for item in now}
    assert late["item_id"] in told


def test_names_that_are_long_in_json_can_be_paged(api: Api, home: Json) -> None:
    names = ["%01" * 254 + letter for letter in "abc"]
    for name in names:
        assert api.write_new(home["item_id"], name, b"").status_code == 201
    seen, cursor = [], None
    for _ in names:
        params = {"limit": "1"} | ({} if cursor is None else {"cursor": cursor})
        page = api.http.get(f"/v1/items/{home['item_id']}/children", params=params).json()
        seen += [item["name"][-1] for item in page["items"]]
        cursor = page["cursor"]
    assert (seen, cursor) == (["a", "b", "c"], None)
    items, last = walk(api, home["item_id"], limit="2")
    rest, _ = walk(api, home["item_id"], cursor=last["cursor"])
    assert [item["name"][-1] for item in items + rest] == ["a", "b", "c"]


def find(api: Api, wanted: str, limit: int = 500, *, among: Json | None = None) -> list[str]:
    """Names, through all pages; of one folder, where other tests have theirs beside it."""
    names: list[str] = []
    params = {"q": wanted, "limit": str(limit)}
    while True:
        answer = api.http.get("/v1/search", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        names += [item["name"] for item in page["items"] if among is None or item["parent_id"] == among["item_id"]]
        if page["cursor"] is None:
            return sorted(names)
        params["cursor"] = page["cursor"]


def test_names_are_found_by_any_part_whatever_the_case(api: Api, home: Json) -> None:
    for name in ("Rapport Qux.txt", "qux", "QUXQUX", "q_ux", "Straße-Ärger", "100%25 sure"):
        assert api.write_new(home["item_id"], name, b"").status_code == 201
    assert find(api, "qux", among=home) == ["QUXQUX", "Rapport Qux.txt", "qux"]
    assert find(api, "QUX", limit=1, among=home) == ["QUXQUX", "Rapport Qux.txt", "qux"]
    assert find(api, "q_u", among=home) == ["q_ux"]
    assert find(api, "%", among=home) == ["100% sure"]
    assert find(api, "ärGER", among=home) == ["Straße-Ärger"]
    assert find(api, "STRASSE-Ä", among=home) == ["Straße-Ärger"]
    assert find(api, "nothing like it", among=home) == []
    for bad in ("", "x" * 256, "a\0b"):
        assert api.http.get("/v1/search", params={"q": bad}).json()["code"] == "invalid_request"
    assert api.http.get("/v1/search", params={"q": "x", "cursor": "AAAA"}).json()["code"] == "cursor_invalid"
    (found,) = api.http.get("/v1/search", params={"q": "quxqux"}).json()["items"]
    assert found == api.item(found["item_id"]).json()


def test_walks_and_searches_end_at_the_tokens_root(server: ServerProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    part = create_token(tokens, name="part", root="/in", read_only=True)
    server.options = ("--tokens", str(tokens))
    for folder in ("in/deep", "out"):
        (server.root / folder).mkdir(parents=True)
        (server.root / folder / "needle").write_bytes(b"x")
    server.start()
    with server.client(token=part) as client:
        api = Api(client)
        assert find(api, "needle") == ["needle"]
        assert find(api, "out") == []
        items, _ = walk(api, api.root()["item_id"])
        assert [item["name"] for item in items] == ["deep", "needle"]
        assert {tuple(item["capabilities"]) for item in items} == {("read",)}
        assert items[0]["parent_id"] == api.root()["item_id"]


def test_children_and_descendants_of_a_large_folder_come_in_pages(server: ServerProcess) -> None:
    """More entries than several pages hold."""
    folder = server.root / "large"
    folder.mkdir()
    for number in range(2_000):
        (folder / f"n{number:05d}").touch()
    server.start()
    with server.client(timeout_s=60.0) as client:
        api = Api(client)
        (large,) = api.children(api.root()["item_id"]).values()
        items, last = walk(api, large["item_id"])
        assert [item["name"] for item in items] == [f"n{number:05d}" for number in range(2_000)]
        assert last["cursor"] is None
        assert find(api, "N0199", limit=3) == [f"n0199{digit}" for digit in range(10)]
