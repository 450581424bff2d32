"""What a Nextcloud says of itself: capabilities, rules of names, rights."""

from __future__ import annotations

import json

import pytest

from cache.model import ALL_CAPABILITIES, Capability
from sync.remote import NameRefused, ProtocolViolation
from sync.remotes.nextcloud.announced import announced_of
from sync.remotes.nextcloud.names import NameRules
from sync.remotes.nextcloud.push import checked_url
from sync.remotes.nextcloud.rights import capabilities_of


def document(capabilities: object) -> bytes:
    return json.dumps(
        {"ocs": {"meta": {}, "data": {"version": {"string": "31"}, "capabilities": capabilities}}}
    ).encode()


def test_what_is_not_told_is_not_used() -> None:
    told = announced_of(document({}))
    assert (told.chunks, told.bulk, told.trash, told.versions, told.push_url) == (False, False, False, False, None)


def test_what_is_told_is_used() -> None:
    told = announced_of(
        document(
            {
                "dav": {"chunking": "1.0", "bulkupload": "1.0"},
                "files": {
                    "bigfilechunking": True,
                    "undelete": True,
                    "versioning": True,
                    "chunked_upload": {"max_size": 9},
                },
                "notify_push": {"type": ["files"], "endpoints": {"websocket": "wss://x/push/ws"}},
            }
        )
    )
    assert (told.chunks, told.bulk, told.trash, told.versions) == (True, True, True, True)
    assert (told.chunk_max_bytes, told.push_url) == (9, "wss://x/push/ws")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"ocs": {"data": []}}', b"\xff"])
def test_a_page_for_people_is_no_document(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        announced_of(body)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\0", "a\\b", "a\nb", ".htaccess", ".HTACCESS", "x.part", " a", "a ", "e\u0301", "\udcff",
     "x" * 226, "ü" * 113],
)  # fmt: skip
def test_names_that_every_nextcloud_refuses_are_refused_here(name: str) -> None:
    with pytest.raises(NameRefused):
        NameRules().checked(name)


@pytest.mark.parametrize("name", ["a b", "\u00e9", "x" * 225, "ü" * 112, ".hidden", "part", "con", "🐟", "%2F", "a?*:"])
def test_other_names_are_taken(name: str) -> None:
    assert NameRules().checked(name) == name


def test_announced_rules_take_the_place_of_the_built_in_ones() -> None:
    files = {
        "forbidden_filenames": [".htaccess", "Desktop.ini"], "forbidden_filename_basenames": ["con"],
        "forbidden_filename_characters": ["*"], "forbidden_filename_extensions": [".lock"],
    }  # fmt: skip
    rules = announced_of(document({"files": files})).names
    for name in ("desktop.INI", "CON.txt", "a*", "x.LOCK", "a\\b"):
        with pytest.raises(NameRefused):
            rules.checked(name)
    assert rules.checked("x.part") == "x.part"
    assert "*" in rules.told().refused


@pytest.mark.parametrize(
    ("permissions", "is_folder", "able"),
    [
        ("RGDNVW", False, {Capability.READ, Capability.DELETE, Capability.RENAME, Capability.WRITE}),
        ("SRGDNVCK", True, ALL_CAPABILITIES),
        ("SG", False, {Capability.READ}),
        ("SMG", True, {Capability.READ}),
        ("GW", False, {Capability.READ, Capability.WRITE}),
        ("GDN", False, {Capability.READ, Capability.DELETE}),
        ("GC", True, {Capability.READ}),
        ("", True, ALL_CAPABILITIES),
    ],
)
def test_permissions_become_capabilities(permissions: str, is_folder: bool, able: set[Capability]) -> None:
    assert capabilities_of(permissions, is_folder=is_folder) == able


@pytest.mark.parametrize(
    ("push", "drive", "fine"),
    [
        ("wss://cloud.example.org/push/ws", "https://cloud.example.org/nc", True),
        ("wss://push.cloud.example.org/ws", "https://cloud.example.org", True),
        ("ws://127.0.0.1:1/ws", "http://127.0.0.1:2", True),
        ("ws://cloud.example.org/push/ws", "https://cloud.example.org", False),
        ("wss://evil.org/ws", "https://cloud.example.org", False),
        ("wss://evilcloud.example.org/ws", "https://cloud.example.org", False),
        ("https://cloud.example.org/ws", "https://cloud.example.org", False),
    ],
)
def test_the_password_goes_to_the_drives_own_host_only(push: str, drive: str, fine: bool) -> None:
    if fine:
        assert checked_url(push, drive) == push
    else:
        with pytest.raises(ProtocolViolation):
            checked_url(push, drive)
