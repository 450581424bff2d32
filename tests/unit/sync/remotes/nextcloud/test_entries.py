"""What a Nextcloud tells of an entry, and when two of its contents are the same."""

from __future__ import annotations

from dataclasses import replace as with_

import pytest

from cache.model import Kind, Version
from sync.remote import ProtocolViolation
from sync.remotes.dav.multistatus import multistatus_of
from sync.remotes.nextcloud.entries import Seen, etag_of, is_weak, seen
from tests.fakes.nextcloud import Account
from tests.fakes.nextcloud.xml import multistatus, node_row

BASE = "/remote.php/dav/files/ada"
FILE = Seen(
    file_id="7", path="d/f", kind=Kind.FILE, size=3, mtime_s=1000, etag="e1", upload_s=1000, checksum="",
    permissions="RGDNVW",
)  # fmt: skip


def told(account: Account) -> list[Seen]:
    rows = multistatus(node_row(account, BASE, node, []) for node in account.walk(account.root))
    return [seen(row, BASE) for row in multistatus_of(rows).responses]


def test_an_entry_is_read_as_it_is_told() -> None:
    account = Account()
    account.make_folder("d ü")
    account.write("d ü/a%20b?.txt", b"abc", mtime_s=5, checksum=f"SHA1:00 SHA256:{'Ab' * 32}")
    root, folder, file = told(account)
    assert (root.path, root.kind, folder.path, folder.kind) == ("", Kind.FOLDER, "d ü", Kind.FOLDER)
    assert (file.path, file.name, file.folder) == ("d ü/a%20b?.txt", "a%20b?.txt", "d ü")
    assert (file.size, file.mtime_s, file.digest) == (3, 5, f"sha-256:{'ab' * 32}")
    assert (file.etag, file.permissions) == (account.at("d ü/a%20b?.txt").etag, "RGDNVW")


def test_without_a_checksum_a_fresh_content_is_weak_until_the_clock_moved_on() -> None:
    at = {now_s: FILE.version(now_s) for now_s in (1000, 1002, 1003, 999)}
    assert is_weak(at[1000])
    assert at[1000] == at[1002]
    assert not is_weak(at[1003])
    assert at[999] == at[1003], "a clock that stands before the upload proves that it is not the upload's second"
    assert {etag_of(version) for version in at.values() if version is not None} == {"e1"}


def test_a_checksum_tells_two_writes_of_one_second_apart() -> None:
    one, two = with_(FILE, checksum="SHA256:" + "a" * 64), with_(FILE, checksum="SHA256:" + "b" * 64)
    assert one.version(1000) != two.version(1000)
    assert not is_weak(one.version(1000))
    assert one.version(1000) == one.version(2000)


@pytest.mark.parametrize("change", [{"etag": "e2"}, {"size": 4}, {"upload_s": 1001}])
def test_anything_else_makes_another_content(change: dict[str, object]) -> None:
    assert with_(FILE, **change).version(5000) != FILE.version(5000)  # type: ignore[arg-type]


def test_an_etag_may_hold_dots() -> None:
    version = with_(FILE, etag="a.b.c").version(5000)
    assert version is not None
    assert etag_of(version) == "a.b.c"
    assert etag_of(Version(f"weak.{version}")) == "a.b.c"


def test_a_folder_has_no_content() -> None:
    assert with_(FILE, kind=Kind.FOLDER).version(5000) is None


@pytest.mark.parametrize("href", ["/remote.php/dav/files/eve/f", f"{BASE}/../eve", f"{BASE}/%2e%2e/f", f"{BASE}/%ff"])
def test_nothing_outside_of_the_drive_is_believed(href: str) -> None:
    account = Account()
    account.write("f", b"")
    rows = multistatus([node_row(account, BASE, account.at("f"), [])]).replace(f"{BASE}/f".encode(), href.encode())
    (row,) = multistatus_of(rows).responses
    with pytest.raises(ProtocolViolation):
        seen(row, BASE)
