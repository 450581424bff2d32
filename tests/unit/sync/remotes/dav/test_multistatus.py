"""What is taken for a WebDAV answer, and what never is."""

from __future__ import annotations

import pytest

from sync.remote import ProtocolViolation
from sync.remotes.dav.multistatus import condition_of, dav, multistatus_of

ROW = b"""<d:response><d:href>/a%20b/</d:href>
  <d:propstat><d:prop><d:getetag>"x"</d:getetag><d:resourcetype><d:collection/></d:resourcetype></d:prop>
    <d:status>HTTP/1.1 200 OK</d:status></d:propstat>
  <d:propstat><d:prop><d:creationdate/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>
</d:response>"""


def body(rows: bytes, before: bytes = b"") -> bytes:
    return before + b'<d:multistatus xmlns:d="DAV:">' + rows + b"</d:multistatus>"


def test_found_properties_are_told_and_missing_ones_are_not() -> None:
    (told,) = multistatus_of(body(ROW)).responses
    assert (told.href, told.status, told.text(dav("getetag"))) == ("/a%20b/", 200, '"x"')
    assert told.properties[dav("resourcetype")].has(dav("collection"))
    assert told.text(dav("creationdate")) is None


def test_a_tombstone_is_a_status_without_properties() -> None:
    rows = b"<d:response><d:href>/x</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
    told = multistatus_of(body(rows + b"<d:sync-token>urn:3</d:sync-token>"))
    assert [(each.href, each.status) for each in told.responses] == [("/x", 404)]
    assert told.sync_token == "urn:3"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html><p>503</html>",
        body(ROW)[:-20],
        body(ROW).replace(b"HTTP/1.1 200", b"HTTP/1.1 OK"),
        body(ROW).replace(b"<d:href>/a%20b/</d:href>", b""),
        b"<other/>",
        body(ROW, b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
        body(ROW, b'<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        b"<a>" * 100 + b"</a>" * 100,
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        multistatus_of(text)


def test_a_refusal_names_its_condition() -> None:
    assert condition_of(b'<d:error xmlns:d="DAV:"><d:valid-sync-token/></d:error>') == "valid-sync-token"
    assert condition_of(b"<html>") == condition_of(b'<!DOCTYPE a><d:error xmlns:d="DAV:"/>') == ""
