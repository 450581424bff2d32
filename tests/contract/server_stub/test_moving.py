"""Atomic move and rename: both ends under their versions, no cycle, no lost item, whoever comes first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.waiting import DEADLINE_S

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.harness.server import ServerProcess

Json = dict[str, Any]
ROUNDS = 6


def race(server: ServerProcess, *requests: Callable[[Api], httpx.Response]) -> list[httpx.Response]:
    """All requests at once, each over a connection of its own that is already open."""
    start = threading.Barrier(len(requests))

    def run(request: Callable[[Api], httpx.Response]) -> httpx.Response:
        with server.client() as client:
            client.get("/healthz")
            start.wait(DEADLINE_S)
            return request(Api(client))

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(run, requests))


def outcome(answers: list[httpx.Response]) -> list[tuple[int, str]]:
    """(status, code) of each, sorted: which of them won is chance."""
    return sorted((answer.status_code, "" if answer.is_success else answer.json()["code"]) for answer in answers)


def paths(api: Api, folder: Json) -> set[str]:
    """Names of everything below, by walking the children."""
    found: set[str] = set()
    for name, item in api.children(folder["item_id"]).items():
        found |= {name} | ({f"{name}/{path}" for path in paths(api, item)} if item["is_folder"] else set())
    return found


def test_two_folders_that_move_into_each_other_never_form_a_cycle(
    api: Api, home: Json, shared_server: ServerProcess
) -> None:
    for number in range(ROUNDS):
        one, two = (api.create(home["item_id"], f"{name}{number}").json() for name in "ab")
        answers = race(
            shared_server,
            lambda client, one=one, two=two: client.patch(one, parent_id=two["item_id"]),
            lambda client, one=one, two=two: client.patch(two, parent_id=one["item_id"]),
        )
        assert outcome(answers) == [(200, ""), (409, "would_cycle")]
    assert len(paths(api, home)) == 2 * ROUNDS


def test_one_version_has_one_winner(api: Api, home: Json, shared_server: ServerProcess) -> None:
    file = api.write_new(home["item_id"], "f", b"x").json()
    for number in range(ROUNDS):
        answers = race(
            shared_server,
            *(lambda client, file=file, name=f"{number}-{each}": client.patch(file, name=name) for each in range(3)),
        )
        assert outcome(answers) == [(200, ""), (412, "precondition_failed"), (412, "precondition_failed")]
        winner = next(answer.json() for answer in answers if answer.is_success)
        assert {answer.json()["current"]["name"] for answer in answers if not answer.is_success} == {winner["name"]}
        file = winner
    assert paths(api, home) == {file["name"]}


def test_one_name_is_taken_once(api: Api, home: Json, shared_server: ServerProcess) -> None:
    for number in range(ROUNDS):
        files = [api.write_new(home["item_id"], f"{number}-{each}", b"x").json() for each in range(3)]
        target = f"target{number}"
        answers = race(
            shared_server, *(lambda client, file=file, target=target: client.patch(file, name=target) for file in files)
        )
        assert outcome(answers) == [(200, ""), (409, "name_taken"), (409, "name_taken")]
    assert len(paths(api, home)) == 3 * ROUNDS


def test_a_replaced_content_is_the_one_that_was_seen(api: Api, home: Json, shared_server: ServerProcess) -> None:
    """Rename-over against an overwrite of what is replaced: whoever comes second is refused, nothing is lost."""
    for number in range(ROUNDS):
        old = api.write_new(home["item_id"], f"doc{number}", b"old").json()
        new = api.write_new(home["item_id"], f"tmp{number}", b"new").json()
        named = {"item_id": old["item_id"], "content_version": old["content_version"]}
        over, written = race(
            shared_server,
            lambda client, new=new, name=old["name"], named=named: client.patch(new, name=name, replace=named),
            lambda client, old=old: client.overwrite(old, b"edited"),
        )
        held = api.content(api.children(home["item_id"])[old["name"]]).content
        if over.status_code == 200:
            assert (written.status_code, written.json()["code"], held) == (410, "deleted", b"new")
        else:
            assert (over.status_code, over.json()["code"]) == (412, "precondition_failed")
            assert over.json()["current"]["content_version"] == written.json()["content_version"]
            assert held == b"edited"


def test_nothing_is_moved_into_a_folder_that_is_deleted(api: Api, home: Json, shared_server: ServerProcess) -> None:
    for number in range(ROUNDS):
        folder = api.create(home["item_id"], f"d{number}").json()
        file = api.write_new(home["item_id"], f"f{number}", b"x").json()
        moved, deleted = race(
            shared_server,
            lambda client, file=file, folder=folder: client.patch(file, parent_id=folder["item_id"]),
            lambda client, folder=folder: client.delete(folder),
        )
        if moved.status_code == 200:
            assert (deleted.status_code, deleted.json()["code"]) == (409, "not_empty")
        else:
            assert (moved.status_code, moved.json()["code"], deleted.status_code) == (410, "deleted", 204)
        assert api.content(file).content == b"x"


def test_a_seen_tree_is_not_deleted_with_what_just_came(api: Api, home: Json, shared_server: ServerProcess) -> None:
    for number in range(ROUNDS):
        folder = api.create(home["item_id"], f"d{number}").json()
        api.write_new(folder["item_id"], "seen", b"x")
        anchor = api.anchor()
        headers = {"if-match": f'"{folder["metadata_version"]}"', "idempotency-key": api.key()}
        path = f"/v1/items/{folder['item_id']}"
        params = {"recursive": "true", "anchor": anchor}
        written, deleted = race(
            shared_server,
            lambda client, folder=folder: client.write_new(folder["item_id"], "late", b"late"),
            lambda client, path=path, params=params, headers=headers: client.http.delete(
                path, params=params, headers=headers
            ),
        )
        if deleted.status_code == 204:
            assert (written.status_code, written.json()["code"]) == (410, "deleted")
        else:
            assert (deleted.status_code, deleted.json()["code"], written.status_code) == (
                412,
                "precondition_failed",
                201,
            )
            assert api.content(written.json()).content == b"late"


@pytest.mark.parametrize("depth", [1, 3])
def test_a_folder_does_not_move_below_itself(api: Api, home: Json, depth: int) -> None:
    top = folder = api.create(home["item_id"], "top").json()
    for level in range(depth):
        folder = api.create(folder["item_id"], f"level{level}").json()
    answer = api.patch(top, parent_id=folder["item_id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "would_cycle")
    assert api.patch(top, parent_id=top["item_id"]).json()["code"] == "would_cycle"


def test_replacing_asks_for_the_right_holder_kind_and_version(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "file", b"x").json()
    other = api.write_new(home["item_id"], "other", b"y").json()
    folder, empty = (api.create(home["item_id"], name).json() for name in ("folder", "empty"))
    inside = api.write_new(folder["item_id"], "inside", b"z").json()

    def replace(item: Json, over: Json, **changed: object) -> tuple[int, str]:
        named = {"item_id": over["item_id"], "content_version": over["content_version"]} | changed
        answer = api.patch(item, parent_id=over["parent_id"], name=over["name"], replace=named)
        return answer.status_code, answer.json().get("code", "")

    assert replace(file, other, content_version="stale") == (412, "precondition_failed")
    assert replace(file, other, item_id=folder["item_id"]) == (409, "name_taken")
    assert replace(file, other | {"name": "nobody"}) == (412, "precondition_failed")
    assert replace(file, empty) == (409, "is_a_folder")
    assert replace(empty, file) == (409, "not_a_folder")
    assert replace(empty, folder) == (409, "not_empty")
    assert replace(inside, folder) == (409, "is_a_folder")
    assert replace(folder, empty) == (200, "")
    assert paths(api, home) == {"file", "other", "empty", "empty/inside"}
    assert api.item(empty["item_id"]).status_code == 410


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name_invalid"),
        (".", "name_invalid"),
        ("..", "name_invalid"),
        ("a/b", "name_invalid"),
        ("a\0b", "name_invalid"),
        ("x" * 256, "name_too_long"),
        ("ü" * 128, "name_too_long"),
    ],
)
def test_names_are_checked_on_every_way_in(api: Api, home: Json, name: str, code: str) -> None:
    file = api.write_new(home["item_id"], "f", b"x").json()
    headers = {"idempotency-key": api.key()}
    answers = [
        api.patch(file, name=name),
        api.create(home["item_id"], name),
        api.http.post(f"/v1/items/{file['item_id']}:copy", json={"name": name}, headers=headers),
        api.http.post(f"/v1/items/{file['item_id']}:restore", json={"name": name}, headers=headers),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, code)}


def test_one_patch_changes_place_mode_and_time_together(api: Api, home: Json) -> None:
    folder = api.create(home["item_id"], "d").json()
    file = api.write_new(home["item_id"], "f", b"x").json()
    anchor = api.anchor()
    changed = api.patch(
        file, parent_id=folder["item_id"], name="g", mode=0o4711, modified_at="2020-01-02T03:04:05.000000006Z"
    ).json()
    assert (changed["parent_id"], changed["name"]) == (folder["item_id"], "g")
    assert (changed["mode"], changed["modified_at"]) == (0o4711, "2020-01-02T03:04:05.000000006Z")
    assert (changed["item_id"], changed["content_version"]) == (file["item_id"], file["content_version"])
    assert [change["item"] for change in api.changes(anchor)["changes"]] == [changed]
