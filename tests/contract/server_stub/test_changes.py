"""The feed: newest states in order, tombstones, anchors that are never believed blindly, the stream of hints."""

from __future__ import annotations

import json
import queue
import shutil
import threading
from typing import TYPE_CHECKING, Any

import httpx

from tests.harness.waiting import DEADLINE_S

from .conftest import LONG_POLL_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.server import ServerProcess

    from .conftest import Api

Json = dict[str, Any]


def test_newest_state_per_item_in_feed_order(api: Api, home: Json) -> None:
    anchor = api.anchor()
    file = api.write_new(home["item_id"], "f", b"1").json()
    folder = api.create(home["item_id"], "d").json()
    file = api.overwrite(file, b"2").json()
    page = api.changes(anchor)
    assert [change["item"]["item_id"] for change in page["changes"]] == [folder["item_id"], file["item_id"]]
    assert page["changes"][1] == {"type": "changed", "item": file}
    assert page["has_more"] is False
    assert api.changes(page["anchor"])["changes"] == []


def test_pages_lead_to_the_end(api: Api, home: Json) -> None:
    anchor = api.anchor()
    made = [api.create(home["item_id"], f"n{number}", "file").json()["item_id"] for number in range(5)]
    seen: list[str] = []
    more = True
    while more:
        page = api.changes(anchor, limit="2")
        seen += [change["item"]["item_id"] for change in page["changes"]]
        anchor, more = page["anchor"], page["has_more"]
    assert seen == made


def test_a_deletion_is_a_tombstone(api: Api, home: Json) -> None:
    file = api.create(home["item_id"], "f", "file").json()
    anchor = api.anchor()
    api.delete(file)
    (change,) = api.changes(anchor)["changes"]
    assert (change["type"], change["item_id"], change["parent_id"]) == (
        "deleted",
        file["item_id"],
        home["item_id"],
    )
    assert change["reason"] == "deleted"


def test_anchors_that_cannot_be_served(api: Api, server: ServerProcess) -> None:
    server.start()
    with server.client() as client:
        foreign = client.get("/v1/changes?limit=0").json()["anchor"]
    for anchor in (foreign, "nonsense", ""):
        answer = api.http.get("/v1/changes", params={"anchor": anchor})
        assert (answer.status_code, answer.json()["code"]) == (410, "anchor_expired")
        assert answer.json()["lost"] is (anchor == foreign)
        assert api.changes(answer.json()["anchor"])["changes"] == []
    assert api.get("/v1/changes").status_code == 400
    assert api.get("/v1/changes?limit=x").status_code == 400


def test_anchors_survive_a_restart(server: ServerProcess) -> None:
    server.start()
    with server.client() as client:
        root = client.get("/v1/root").json()
        anchor = client.get("/v1/changes?limit=0").json()["anchor"]
        headers = {"if-none-match": "*"}
        made = client.put(f"/v1/items/{root['item_id']}/children/f/content", content=b"x", headers=headers).json()
    server.restart()
    with server.client() as client:
        assert client.get("/v1/root").json() == root
        changes = client.get("/v1/changes", params={"anchor": anchor}).json()["changes"]
    assert changes == [{"type": "changed", "item": made}]


def test_what_was_told_after_a_backup_is_refused_by_what_is_restored_from_it(
    server: ServerProcess, tmp_path: Path
) -> None:  # fmt: skip
    """However much was changed since: the numbers are the same then, what they stand for is not."""

    def make(*names: str) -> str:
        with server.client() as client:
            root = client.get("/v1/root").json()["item_id"]
            for name in names:
                place = f"/v1/items/{root}/children/{name}/content"
                assert client.put(place, content=b"x", headers={"if-none-match": "*"}).status_code == 201
            return str(client.get("/v1/changes?limit=0").json()["anchor"])

    server.start()
    before = make("seen")
    server.stop()
    for place in (server.root, server.state):
        shutil.copytree(place, tmp_path / f"{place.name}.copy")
    server.start()
    after = make("forgotten")
    server.stop()
    for place in (server.root, server.state):
        shutil.rmtree(place)
        shutil.copytree(tmp_path / f"{place.name}.copy", place)
    server.start()
    make("one", "two", "three")
    with server.client() as client:
        refused = client.get("/v1/changes", params={"anchor": after})
        assert (refused.status_code, refused.json()["code"]) == (410, "anchor_expired")
        assert refused.json()["lost"] is True
        changes = client.get("/v1/changes", params={"anchor": before}).json()["changes"]
    assert [each["item"]["name"] for each in changes] == ["one", "two", "three"]


def test_long_poll_is_answered_by_the_change(api: Api, home: Json) -> None:
    anchor = api.anchor()
    timer = threading.Timer(0.2, lambda: api.create(home["item_id"], "d"))
    timer.start()
    page = api.changes(anchor, wait=LONG_POLL_S)
    timer.join()
    assert [change["item"]["name"] for change in page["changes"]] == ["d"]


def test_stream_rings_after_a_commit_and_resumes(api: Api, home: Json, shared_server: ServerProcess) -> None:
    anchor = api.anchor()
    events: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        with (
            shared_server.client() as client,
            client.stream("GET", f"/v1/changes/stream?anchor={anchor}") as stream,
        ):
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                events.put(line)
                if line.startswith("data:"):
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    assert events.get(timeout=DEADLINE_S).startswith(":")
    api.create(home["item_id"], "d")
    listener.join(timeout=DEADLINE_S)
    lines = [events.get_nowait() for _ in range(events.qsize())]
    data = next(line for line in lines if line.startswith("data:"))
    rung = json.loads(data.removeprefix("data:"))["anchor"]
    assert f"id: {rung}" in lines
    assert "event: anchor" in lines
    with api.http.stream("GET", "/v1/changes/stream", headers={"last-event-id": anchor}) as resumed:
        first = next(line for line in resumed.iter_lines() if line.startswith("data:"))
    assert json.loads(first.removeprefix("data:"))["anchor"] == rung


def test_stop_sends_streams_home_quickly(server: ServerProcess) -> None:
    server.start()
    with server.client() as client, client.stream("GET", "/v1/changes/stream") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert server.stop() == 0
        try:
            rest = list(lines)
        except httpx.RemoteProtocolError:
            rest = []
    assert not any(line.startswith("data:") for line in rest)
    assert "graceful shutdown exceeded" not in server.log_path.read_text()  # the server ended it, and not its deadline
