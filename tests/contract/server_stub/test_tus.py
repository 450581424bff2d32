"""tus 1.0.0 to the letter: each test names the rule of the specification that it holds."""

from __future__ import annotations

import base64
import hashlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.tus import MEDIA_TYPE, VERSION, Tus, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.server import ServerProcess

Json = dict[str, Any]


@pytest.fixture
def tus(shared_server: ServerProcess) -> Iterator[Tus]:
    with shared_server.client() as client:
        yield Tus(client)


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def test_options_tells_version_extensions_size_and_algorithms_whatever_version_asks(tus: Tus) -> None:
    for path in ("/v1/uploads", tus.begin(1)):
        answer = tus.http.options(path, headers={"tus-resumable": "0.2.2"})
        assert answer.status_code == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert set(answer.headers["tus-extension"].split(",")) == {
            "creation",
            "creation-with-upload",
            "creation-defer-length",
            "checksum",
            "expiration",
            "termination",
            "concatenation",
        }
        assert int(answer.headers["tus-max-size"]) > 1 << 40
        assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_another_version_is_412_with_ours_and_nothing_happens(tus: Tus, method: str, version: str | None) -> None:
    url = tus.begin(3)
    headers = {"upload-length": "3", "upload-offset": "0", **MEDIA_TYPE}
    headers |= {} if version is None else {"tus-resumable": version}
    answer = tus.http.request(method, "/v1/uploads" if method == "POST" else url, headers=headers, content=b"")
    assert answer.status_code == 412
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert tus.offset(url) == 0


def test_head_tells_offset_length_and_metadata_and_belongs_in_no_cache(tus: Tus) -> None:
    told = metadata(filename="head.bin", custom="kept as it came")
    url = tus.begin(5, upload_metadata=told["upload-metadata"])
    answer = tus.head(url)
    assert answer.status_code == 200
    assert (answer.headers["upload-offset"], answer.headers["upload-length"]) == ("0", "5")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["upload-metadata"] == told["upload-metadata"]
    assert answer.headers["tus-resumable"] == "1.0.0"


def test_an_unknown_upload_has_no_offset(tus: Tus) -> None:
    answer = tus.head("/v1/uploads/0123456789abcdef")
    assert answer.status_code == 404
    assert "upload-offset" not in answer.headers
    assert answer.headers["tus-resumable"] == "1.0.0"


def test_a_patch_elsewhere_is_409_and_tells_the_offset(tus: Tus) -> None:
    url = tus.begin(4, b"ab")
    for offset in (0, 3):
        answer = tus.patch(url, offset, b"x")
        assert answer.status_code == 409
        assert (answer.json()["code"], answer.json()["expected_offset"]) == ("upload_offset_mismatch", 2)
    assert tus.offset(url) == 2


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/plain"])
def test_another_media_type_is_415(tus: Tus, content_type: str | None) -> None:
    url = tus.begin(3)
    headers = VERSION | {"upload-offset": "0"} | ({} if content_type is None else {"content-type": content_type})
    assert tus.http.patch(url, content=b"abc", headers=headers).status_code == 415
    creating = VERSION | {"upload-length": "3"} | ({} if content_type is None else {"content-type": content_type})
    assert tus.http.post("/v1/uploads", content=b"abc", headers=creating).status_code == 415
    assert tus.offset(url) == 0


@pytest.mark.parametrize("offset", [None, "-1", "x", "1.5", ""])
def test_a_patch_without_a_true_offset_is_400(tus: Tus, offset: str | None) -> None:
    headers = VERSION | MEDIA_TYPE | ({} if offset is None else {"upload-offset": offset})
    assert tus.http.patch(tus.begin(3), content=b"abc", headers=headers).status_code == 400


def test_a_body_beyond_the_length_is_413(tus: Tus) -> None:
    url = tus.begin(3)
    assert tus.patch(url, 0, b"abcd").status_code == 413
    assert tus.patch(url, 0, iter([b"ab", b"cd"])).status_code == 413  # chunked: no Content-Length says it before
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, b"abc").headers["upload-offset"] == "3"


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"upload-length": "-1"},
        {"upload-length": "ten"},
        {"upload-defer-length": "0"},
        {"upload-length": "1", "upload-defer-length": "1"},
    ],
)
def test_creation_wants_one_length(tus: Tus, sizes: dict[str, str]) -> None:
    assert tus.http.post("/v1/uploads", headers=VERSION | sizes).status_code == 400


def test_creation_beyond_the_largest_size_is_413(tus: Tus) -> None:
    largest = int(tus.http.options("/v1/uploads").headers["tus-max-size"])
    assert tus.create(largest + 1).status_code == 413
    assert tus.create(largest).status_code == 507  # no such room on the drive


def test_creation_with_bytes_tells_the_offset(tus: Tus) -> None:
    answer = tus.create(6, b"abc")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "3")
    assert tus.offset(answer.headers["location"]) == 3


@pytest.mark.parametrize("field", ["key not*base64", "a YQ==,a YQ==", "a YQ==,,b", "é YQ=="])
def test_malformed_metadata_is_400(tus: Tus, field: str) -> None:
    headers = [(b"tus-resumable", b"1.0.0"), (b"upload-length", b"1"), (b"upload-metadata", field.encode())]
    answer = tus.http.post("/v1/uploads", headers=headers)
    assert answer.status_code == 400


def test_a_length_put_off_is_told_once(tus: Tus) -> None:
    url = tus.begin(None)
    assert tus.head(url).headers["upload-defer-length"] == "1"
    assert "upload-length" not in tus.head(url).headers
    assert tus.patch(url, 0, b"abc").headers["upload-offset"] == "3"
    assert tus.patch(url, 3, b"", upload_length="2").status_code == 400
    assert tus.patch(url, 3, b"d", upload_length="5").status_code == 204
    told = tus.head(url).headers
    assert (told["upload-length"], told["upload-offset"]) == ("5", "4")
    assert "upload-defer-length" not in told
    assert tus.patch(url, 4, b"e", upload_length="6").status_code == 400
    assert tus.patch(url, 4, b"e").status_code == 204
    assert tus.state(url)["state"] == "finished"


def test_a_length_told_after_the_last_byte_finishes(tus: Tus) -> None:
    url = tus.begin(None, b"abc", upload_metadata=metadata(filename="later.txt")["upload-metadata"])
    answer = tus.patch(url, 3, b"", upload_length="3")
    assert answer.status_code == 204
    assert tus.state(url)["item"]["name"] == "later.txt"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_checksum_that_agrees_counts_and_another_is_460_and_does_not(tus: Tus, algorithm: str) -> None:
    url = tus.begin(6)
    assert tus.patch(url, 0, b"abc", upload_checksum=checksum(b"abc", algorithm)).status_code == 204
    answer = tus.patch(url, 3, b"def", upload_checksum=checksum(b"dex", algorithm))
    assert (answer.status_code, answer.json()["code"]) == (460, "upload_checksum_mismatch")
    assert tus.offset(url) == 3
    assert tus.patch(url, 3, b"def", upload_checksum=checksum(b"def", algorithm)).status_code == 204


def test_a_checksum_by_an_unknown_algorithm_is_400(tus: Tus) -> None:
    url = tus.begin(3)
    assert tus.patch(url, 0, b"abc", upload_checksum="crc32 AAAA").status_code == 400
    assert tus.patch(url, 0, b"abc", upload_checksum="sha1 not*base64").status_code == 400
    assert tus.offset(url) == 0


def test_a_wrong_checksum_does_not_spoil_the_digest_of_the_whole(tus: Tus, home: Json) -> None:
    told = metadata(parent_id=home["item_id"], name="f")
    url = tus.begin(6, b"abc", upload_metadata=told["upload-metadata"])
    assert tus.patch(url, 3, b"xyz", upload_checksum=checksum(b"def")).status_code == 460
    assert tus.patch(url, 3, b"def").status_code == 204
    assert tus.state(url)["item"]["digest"] == "sha-256:" + hashlib.sha256(b"abcdef").hexdigest()


def test_every_answer_about_an_open_upload_tells_when_it_expires(tus: Tus) -> None:
    created = tus.create(3)
    url = created.headers["location"]
    for answer in (created, tus.head(url), tus.patch(url, 0, b"a")):
        expires = parsedate_to_datetime(answer.headers["upload-expires"])
        assert expires > parsedate_to_datetime(answer.headers["date"])


def test_termination_ends_an_upload(tus: Tus) -> None:
    url = tus.begin(3, b"a")
    assert tus.http.delete(url, headers=VERSION).status_code == 204
    assert tus.head(url).status_code == 410
    assert "upload-offset" not in tus.head(url).headers
    assert tus.patch(url, 1, b"b").status_code == 410
    assert tus.http.delete(url, headers=VERSION).status_code == 410


def test_concatenation_joins_parts_in_the_named_order(tus: Tus, home: Json) -> None:
    parts = [tus.begin(len(data), data, upload_concat="partial") for data in (b"one ", b"two ", b"three")]
    assert tus.head(parts[0]).headers["upload-concat"] == "partial"
    told = metadata(parent_id=home["item_id"], name="joined")
    order = [parts[1], parts[0].partition("//")[2].partition("/")[2].join(["/", ""]), parts[2]]  # one as a path only
    answer = tus.concat(order, upload_metadata=told["upload-metadata"])
    assert answer.status_code == 201, answer.text
    final = answer.headers["location"]
    head = tus.head(final)
    assert head.headers["upload-concat"] == "final;" + " ".join(order)
    assert head.headers["upload-length"] == head.headers["upload-offset"] == "13"
    item = tus.state(final)["item"]
    assert item["digest"] == "sha-256:" + hashlib.sha256(b"two one three").hexdigest()
    assert tus.http.get(f"/v1/items/{item['item_id']}/content").content == b"two one three"
    assert tus.patch(final, 13, b"").status_code == 403


def test_concatenation_wants_finished_partial_uploads_of_this_server(tus: Tus) -> None:
    unfinished = tus.begin(3, b"a", upload_concat="partial")
    whole = tus.begin(1, b"a")
    answer = tus.concat([unfinished])
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
    assert tus.concat([whole]).status_code == 400
    assert tus.concat(["/elsewhere/1"]).status_code == 400
    assert tus.concat(["/v1/uploads/unknown"]).status_code == 404
    assert tus.concat([unfinished], upload_length="3").status_code == 400
    assert tus.create(1, upload_concat="other").status_code == 400


def test_the_method_may_stand_in_a_header(tus: Tus) -> None:
    url = tus.begin(3)
    override = {"x-http-method-override": "PATCH"}
    answer = tus.http.post(url, content=b"ab", headers=VERSION | MEDIA_TYPE | override | {"upload-offset": "0"})
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "2")
    answer = tus.http.post(url, headers=VERSION | {"x-http-method-override": "HEAD"})
    assert (answer.status_code, answer.headers["upload-offset"]) == (200, "2")
    assert tus.http.post(url, headers=VERSION | {"x-http-method-override": "DELETE"}).status_code == 204
    assert tus.head(url).status_code == 410
    refused = tus.http.post(tus.begin(1), headers=VERSION)
    assert refused.status_code == 405
    assert "PATCH" in refused.headers["allow"]
