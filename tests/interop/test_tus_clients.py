"""tuspy, aiotus and tus-js-client against the real server, unchanged: whole and interrupted uploads."""

from __future__ import annotations

import asyncio
import io
import random
import threading
from typing import TYPE_CHECKING

import aiotus
import pytest
import yarl
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed

from tests.harness.server import ServerProcess
from tests.harness.tus import Tus
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.interop.conftest import RunTusJs

KIB = 1 << 10
DATA = random.Random(3).randbytes(3_000 * KIB + 17)
CHUNK_BYTES = 256 * KIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def tuspy(server: ServerProcess) -> TusClient:
    return TusClient(f"{server.url}/v1/uploads", headers={"Authorization": f"Bearer {server.token}"})


def offset_of(server: ServerProcess, url: str) -> int:
    with server.client() as client:
        return int(Tus(client).state(url)["offset"])


@pytest.mark.parametrize("checksums", [False, True])
def test_tuspy_whole(server: ServerProcess, *, checksums: bool) -> None:
    name = f"tuspy-{checksums}"
    uploader = tuspy(server).uploader(
        file_stream=io.BytesIO(DATA), chunk_size=CHUNK_BYTES, metadata={"filename": name}, upload_checksum=checksums
    )
    uploader.upload()
    assert (server.root / name).read_bytes() == DATA


def test_tuspy_interrupted(server: ServerProcess) -> None:
    first = tuspy(server).uploader(
        file_stream=io.BytesIO(DATA), chunk_size=CHUNK_BYTES, metadata={"filename": "tuspy-resumed"}
    )
    first.upload(stop_at=len(DATA) // 2)
    assert 0 < offset_of(server, first.url) < len(DATA)
    second = tuspy(server).uploader(file_stream=io.BytesIO(DATA), chunk_size=CHUNK_BYTES, url=first.url)
    assert second.offset == offset_of(server, first.url)
    second.upload()
    assert (server.root / "tuspy-resumed").read_bytes() == DATA


def test_tuspy_hears_of_a_taken_name_before_it_sends(server: ServerProcess) -> None:
    (server.root / "held").write_bytes(b"theirs")
    server.scan()
    uploader = tuspy(server).uploader(file_stream=io.BytesIO(b"mine"), metadata={"filename": "held"})
    with pytest.raises(Exception, match="412") as refused:
        uploader.upload()
    assert getattr(refused.value, "status_code", None) == 412
    assert not isinstance(refused.value, TusUploadFailed)  # the creation was refused, not the upload
    assert (server.root / "held").read_bytes() == b"theirs"


def test_aiotus_whole_with_metadata(server: ServerProcess) -> None:
    async def run() -> dict[str, bytes | None]:
        headers = {"Authorization": f"Bearer {server.token}"}
        endpoint = yarl.URL(f"{server.url}/v1/uploads")
        url = await aiotus.upload(
            endpoint, io.BytesIO(DATA), {"filename": b"aiotus"}, headers=headers, chunksize=CHUNK_BYTES
        )
        assert url is not None
        told = await aiotus.metadata(url, headers=headers)
        assert told is not None
        return dict(told)

    assert asyncio.run(run()) == {"filename": b"aiotus"}
    assert (server.root / "aiotus").read_bytes() == DATA


def test_aiotus_several_files_as_one(server: ServerProcess) -> None:
    async def run() -> None:
        headers = {"Authorization": f"Bearer {server.token}"}
        endpoint = yarl.URL(f"{server.url}/v1/uploads")
        files = [io.BytesIO(DATA[:1000]), io.BytesIO(DATA[1000:])]
        url = await aiotus.upload_multiple(
            endpoint, files, {"filename": b"aiotus-joined"}, headers=headers, chunksize=CHUNK_BYTES
        )
        assert url is not None

    asyncio.run(run())
    assert (server.root / "aiotus-joined").read_bytes() == DATA


def test_aiotus_through_a_server_that_dies(tmp_path: Path) -> None:
    """kill -9 after some chunks and a restart: the client goes on by itself."""
    with ServerProcess(tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        reached = threading.Event()

        class Watched(io.BytesIO):
            """Tells when the client has read half of it."""

            def read(self, size: int | None = -1) -> bytes:
                if self.tell() >= len(DATA) // 2:
                    reached.set()
                return super().read(size)

        async def run() -> yarl.URL | None:
            tries = int(2 * DEADLINE_S)  # twice a second while the server starts, however slowly it does
            config = aiotus.RetryConfiguration(retry_attempts=tries, max_retry_period_seconds=0.5)
            endpoint = yarl.URL(f"{server.url}/v1/uploads")
            metadata = {"filename": b"survivor"}
            return await aiotus.upload(
                endpoint, Watched(DATA), metadata, config=config, headers=headers, chunksize=64 * KIB
            )

        async def both() -> yarl.URL | None:
            task = asyncio.create_task(run())
            assert await asyncio.to_thread(reached.wait, DEADLINE_S)
            server.kill()
            await asyncio.to_thread(server.start)
            return await task

        assert asyncio.run(both()) is not None
        assert (server.root / "survivor").read_bytes() == DATA


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("js-chunks", {"chunkSize": CHUNK_BYTES}),
        ("js-during", {"chunkSize": CHUNK_BYTES, "during": True}),
        ("js-parallel", {"chunkSize": CHUNK_BYTES, "parallel": 3}),
        ("js-override", {"chunkSize": CHUNK_BYTES, "override": True}),
    ],
)
def test_tus_js_whole(
    server: ServerProcess, source: Path, run_tus_js: RunTusJs, name: str, ways: dict[str, object]
) -> None:
    told = run_tus_js(
        endpoint=f"{server.url}/v1/uploads",
        token=server.token,
        file=str(source),
        filename=name,
        storage=str(source.parent / "urls.json"),
        **ways,
    )
    assert "error" not in told, told
    assert (server.root / name).read_bytes() == DATA


def test_tus_js_interrupted(server: ServerProcess, source: Path, run_tus_js: RunTusJs) -> None:
    task = {
        "endpoint": f"{server.url}/v1/uploads",
        "token": server.token,
        "file": str(source),
        "filename": "js-resumed",
        "storage": str(source.parent / "urls.json"),
        "chunkSize": CHUNK_BYTES,
    }
    stopped = run_tus_js(**task, stopAt=len(DATA) // 2)
    assert len(DATA) // 2 <= offset_of(server, stopped["url"]) < len(DATA)
    resumed = run_tus_js(**task)
    assert resumed == {"url": stopped["url"]}
    assert (server.root / "js-resumed").read_bytes() == DATA
