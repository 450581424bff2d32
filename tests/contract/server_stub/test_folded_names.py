"""[--fold-names] Names that differ in letter case or Unicode form only are one name; who asks is told what holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.server_stub.conftest import Api
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"


@pytest.fixture(scope="module")
def folding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that folds names."""
    with ServerProcess(tmp_path_factory.mktemp("folding"), options=("--fold-names",)) as server:
        yield server


@pytest.fixture
def api(folding: ServerProcess) -> Iterator[Api]:
    """A client of it."""
    with folding.client() as client:
        yield Api(client)


@pytest.fixture
def home(api: Api, request: pytest.FixtureRequest) -> str:
    """A folder of this test's own."""
    item_id: str = api.folder(request.node.name)["item_id"]
    return item_id


def test_a_new_item_meets_what_holds_the_name(api: Api, home: str) -> None:
    first = api.create(home, "README").json()
    refused = api.create(home, "readme")
    assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
    assert refused.json()["current"]["item_id"] == first["item_id"]
    assert api.create(home, "ReadMe", conflict="rename").json()["name"] == "ReadMe (2)"


def test_a_new_content_meets_what_holds_the_name(api: Api, home: str) -> None:
    assert api.write_new(home, NFC, b"composed").status_code == 201
    refused = api.write_new(home, NFD, b"decomposed")
    assert refused.status_code == 412
    assert refused.json()["current"]["name"] == NFC


def test_a_move_meets_what_holds_the_name_and_does_not_replace_it(api: Api, home: str) -> None:
    holder = api.write_new(home, "Plan", b"1").json()
    item = api.write_new(home, "other", b"2").json()
    assert api.patch(item, name="plan").status_code == 409
    replace = {"item_id": holder["item_id"], "content_version": holder["content_version"]}
    assert api.patch(item, name="plan", replace=replace).status_code == 409
    assert set(api.children(home)) == {"Plan", "other"}


def test_an_item_changes_the_case_of_its_own_name(api: Api, home: str) -> None:
    item = api.write_new(home, "Plan", b"1").json()
    assert api.patch(item, name="PLAN").json()["item_id"] == item["item_id"]
    assert set(api.children(home)) == {"PLAN"}


def test_names_are_two_where_nothing_was_asked(shared_server: ServerProcess) -> None:
    with shared_server.client() as client:
        api = Api(client)
        home = api.folder("two names")["item_id"]
        assert [api.create(home, name).status_code for name in ("a", "A")] == [201, 201]
