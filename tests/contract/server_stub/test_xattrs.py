"""Extended attributes of items: each by its name, bounded, and kept with the item."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Api

Json = dict[str, Any]


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def patch(api: Api, item: Json, **xattrs: str | None) -> Any:  # noqa: ANN401
    return api.patch(item, xattrs={name.replace("_", "."): value for name, value in xattrs.items()})


def test_an_item_is_made_with_them_and_each_changes_by_itself(api: Api, home: Json) -> None:
    made = api.create(home["item_id"], "f", "file", xattrs={"user.a": b64(b"1"), "user.b": b64(b"\xff\0")}).json()
    assert made["xattrs"] == {"user.a": b64(b"1"), "user.b": b64(b"\xff\0")}
    told = patch(api, made, user_a=None, user_c=b64(b"3"), user_none=None)
    assert told.status_code == 200
    assert told.json()["xattrs"] == {"user.b": b64(b"\xff\0"), "user.c": b64(b"3")}
    assert told.json()["metadata_version"] != made["metadata_version"]
    same = patch(api, told.json(), user_c=b64(b"3"))
    assert same.json() == told.json()
    assert patch(api, made, user_c=b64(b"4")).status_code == 412


def post(api: Api, path: str, body: Json) -> Any:  # noqa: ANN401
    return api.http.post(f"/v1/items/{path}", json=body, headers={"idempotency-key": api.key()})


@pytest.mark.parametrize("name", ["user.", "a", "trusted.a", "user.anchorfs.item", "user." + "é" * 126, "user.\0"])
def test_other_names_are_refused(api: Api, home: Json, name: str) -> None:
    item = api.create(home["item_id"], f"f{len(name)}{name[0]}", "file").json()
    answer = api.patch(item, xattrs={name: b64(b"1")})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_they_are_bounded_together(api: Api, home: Json) -> None:
    item = api.create(home["item_id"], "f", "file", xattrs={"user.a": b64(b"x" * 4090)}).json()
    answer = patch(api, item, user_b=b64(b""))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert patch(api, item, user_a=None, user_b=b64(b"x" * 4090)).status_code == 200


def test_a_copy_and_what_comes_back_from_the_trash_have_them(api: Api, home: Json) -> None:
    item = api.create(home["item_id"], "f", "file", xattrs={"user.a": b64(b"1")}).json()
    copied = post(api, f"{item['item_id']}:copy", {"name": "g"}).json()
    assert (copied["name"], copied["xattrs"]) == ("g", item["xattrs"])
    assert api.delete(item).status_code == 204
    restored = post(api, f"{item['item_id']}:restore", {}).json()
    assert restored["xattrs"] == item["xattrs"]
