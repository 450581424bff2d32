"""kill -9 between the row and the hole: what the row says is there is there."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from cache import fsck, ranges

CHECKOUT = Path(__file__).resolve().parents[3]
MIB = 1 << 20
PROGRAM = """
import sys, trio
from pathlib import Path
from cache import contents, tree
from cache.db import inline
from cache.model import ContentId
from cache.store import LocalStore

async def main():
    store = LocalStore(Path(sys.argv[1]), runner=inline)
    into_node = "INSERT INTO node "
    into_node += "(ino, parent, name, kind, size, mode, mtime_ns, ctime_ns, content_id, listed, writable)"
    def fill(connection):
        connection.execute(f"{into_node} VALUES (1, NULL, '', 'folder', 0, 493, 0, 0, NULL, 1, 1)")
        connection.execute("INSERT INTO content VALUES (7, 2, 'v', 4194304, x'', 0, 0, 0, 5, 0, NULL, NULL)")
        connection.execute(f"{into_node} VALUES (2, 1, 'f', 'file', 4194304, 420, 0, 0, 7, 0, 1)")
        contents.set_resident(connection, ContentId(7), ((0, 4194304),), 5)
    await store.db.write(fill)
    store.fresh_blob(ContentId(7), 4194304)
    store.blobs.path(ContentId(7)).write_bytes(b"x" * 4194304)
    await store.shed(ContentId(7), 2097152)
    print("not reached")
trio.run(main)
"""


def test_a_hole_is_never_taken_for_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "ANCHORFS_FAILPOINT": "shed-told"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        (resident, held) = connection.execute("SELECT resident, held_bytes FROM content").fetchone()
    assert ranges.decode(resident) == ((0, 2 * MIB),)
    assert held == 2 * MIB
    (blob,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert blob.read_bytes()[: 2 * MIB] == b"x" * (2 * MIB)
    assert "residency" not in {each.law for each in fsck.check(tmp_path)}
