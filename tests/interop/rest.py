"""What is asked after a program has worked in a mount: that nothing differs, and nothing is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.trees import tree_of
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mount import Mount


def at_rest(mount: Mount, here: Path, served: Path) -> dict[str, tuple[object, ...]]:
    """Send everything; the server's folder then equals this one, with modes and times, and no conflict was made.

    Returns what both hold.
    """
    mount.settle()
    found = tree_of(here)
    assert tree_of(served) == found
    assert not [path for path in found if "(conflict " in path]
    assert not [path for path in found if path.rpartition("/")[2].startswith(".fuse_hidden")]
    queue = mount.ask(Request(verb=Verb.QUEUE))
    assert queue.result == [], queue
    return found


def stopped_in_order(mount: Mount) -> None:
    """The mount leaves without a word, and fsck finds nothing, not even with every byte read."""
    assert mount.stop() == 0, mount.log()
    done = mount.command("fsck", str(mount.cache_dir), "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
