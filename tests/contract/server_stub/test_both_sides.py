"""Clients write while others write to the served directory, and nobody has looked there meanwhile: the file itself
is asked before anything is done to it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.server import ServerProcess
from tests.harness.tus import Tus, metadata
from tests.harness.waiting import until

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    import httpx

    Change = Callable[[Path], None]


AT_LEAST_S = 4.0  # of the 5 s that a request waits to learn what others did, before it is told to come again


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("both-sides")) as running:
        yield running


@pytest.fixture
def api(served: ServerProcess) -> Iterator[Api]:
    with served.client() as client:
        yield Api(client)


def a_file(api: Api, name: str) -> dict[str, Any]:
    item: dict[str, Any] = api.write_new(api.root()["item_id"], name, b"first").json()
    return item


def known(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer, asked for again while the server could not know it in time; it is told so not before that."""
    answers: list[httpx.Response] = []

    def is_known() -> bool:
        began = time.monotonic()
        answers.append(ask())
        is_late = answers[-1].status_code == 503
        assert not is_late or time.monotonic() - began >= AT_LEAST_S
        return not is_late

    until(is_known, "an answer")
    return answers[-1]


def edit_in_place(path: Path) -> None:
    path.write_bytes(b"other")  # as long as before


def save_over(path: Path) -> None:
    path.with_name("temporary").write_bytes(b"other")
    path.with_name("temporary").replace(path)


OUTSIDE = pytest.mark.parametrize("change", [edit_in_place, save_over])


@OUTSIDE
def test_a_put_over_what_others_changed_is_refused(served: ServerProcess, api: Api, change: Change) -> None:
    item = a_file(api, f"put-{change.__name__}")
    change(served.root / item["name"])
    answer = api.overwrite(item, b"mine")
    assert answer.status_code == 412
    current = answer.json()["current"]
    assert current["item_id"] == item["item_id"]
    assert current["content_version"] != item["content_version"]
    assert (served.root / item["name"]).read_bytes() == b"other"
    assert api.overwrite(current, b"mine").status_code == 200


@OUTSIDE
def test_an_upload_over_it_is_refused_at_its_commit(served: ServerProcess, api: Api, change: Change) -> None:
    item = a_file(api, f"tus-{change.__name__}")
    target = metadata(item_id=item["item_id"], content_version=item["content_version"])
    with served.client() as client:
        tus = Tus(client)
        url = tus.begin(6, upload_metadata=target["upload-metadata"])
        assert tus.patch(url, 0, b"mi").status_code == 204
        change(served.root / item["name"])
        answer = tus.patch(url, 2, b"ne!!")
    assert answer.status_code == 412
    assert answer.json()["current"]["item_id"] == item["item_id"]
    assert (served.root / item["name"]).read_bytes() == b"other"


@OUTSIDE
def test_neither_a_deletion_nor_a_replacement_takes_what_nobody_saw(
    served: ServerProcess, api: Api, change: Change
) -> None:
    victim, mover = a_file(api, f"gone-{change.__name__}"), a_file(api, f"mover-{change.__name__}")
    change(served.root / victim["name"])
    assert api.delete(victim).status_code == 412
    replace = {"item_id": victim["item_id"], "content_version": victim["content_version"]}
    answer = api.patch(mover, name=victim["name"], replace=replace)
    assert answer.status_code == 412
    assert (served.root / victim["name"]).read_bytes() == b"other"


@OUTSIDE
def test_what_is_read_is_one_version(served: ServerProcess, api: Api, change: Change) -> None:
    item = a_file(api, f"read-{change.__name__}")
    change(served.root / item["name"])
    answer = api.content(item)
    assert answer.content == b"other"
    assert answer.headers["etag"] != f'"{item["content_version"]}"'
    assert api.content(item, if_match=f'"{item["content_version"]}"').status_code == 412


def test_what_others_moved_is_found_before_a_client_is_answered(served: ServerProcess, api: Api) -> None:
    item = a_file(api, "wanders")
    (served.root / "far" / "away").mkdir(parents=True)
    (served.root / "wanders").rename(served.root / "far" / "away" / "here")
    assert known(lambda: api.content(item)).content == b"first"
    now = api.item(item["item_id"]).json()
    assert (now["name"], now["content_version"]) == ("here", item["content_version"])
    assert api.overwrite(item, b"mine").status_code == 200
    assert (served.root / "far" / "away" / "here").read_bytes() == b"mine"


def test_what_others_deleted_is_told_as_deleted(served: ServerProcess, api: Api) -> None:
    item = a_file(api, "goes")
    (served.root / "goes").unlink()
    assert known(lambda: api.content(item)).status_code == 410
    again = a_file(api, "goes too")
    (served.root / "goes too").unlink()
    assert known(lambda: api.delete(again)).status_code in {204, 410}
    assert api.item(again["item_id"]).status_code == 410


def test_the_mark_on_a_file_follows_a_new_content(served: ServerProcess, api: Api) -> None:
    item = a_file(api, "marked")
    path = served.root / "marked"
    assert os.getxattr(path, "user.anchorfs.item") == item["item_id"].encode()
    assert api.overwrite(item, b"second").status_code == 200
    assert os.getxattr(path, "user.anchorfs.item") == item["item_id"].encode()
