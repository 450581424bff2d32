"""What programs do on a drive, step by step, and what it shows after each step.

A step is one request of the kernel, so it happened or it did not: whoever is killed in step n is found with the tree
after step n - 1 or with the one after step n.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Tree = dict[str, str | None]
"""Path → content of a file, "-> TARGET" of a symlink, None for a folder."""


@dataclass(frozen=True, slots=True)
class Step:
    """`word` says what is done to `path`; `more` are the bytes, the other path or the target that it takes."""

    word: str
    path: str = ""
    more: str = ""
    at: int = 0  # where bytes are written; how long a file becomes


BEFORE: Tree = {"theirs": "their first bytes", "old": "an old one", "box": None, "box/inner": "inner", "shared": "one"}
"""What is on the server before the run."""


def saved(path: str, text: str) -> tuple[Step, ...]:
    """A new file as programs write it."""
    return Step("create", path), Step("write", path, text), Step("close", path)


SETTLE = Step("settle")
SCRIPT = (
    *saved("one", "first"), Step("mkdir", "d"), *saved("d/two", "second"), SETTLE,
    Step("read", "theirs"), Step("open", "theirs"), Step("write", "theirs", "EDIT", 6), Step("fsync", "theirs"),
    SETTLE,  # sent while it is open: by way of a copy, which is made at other times only when the sender is quick
    Step("write", "theirs", "AGAIN", 20), Step("close", "theirs"), Step("truncate", "d/two", at=3), SETTLE,
    Step("rename", "d/two", "moved"), *saved("tmp", "a new one"), Step("rename", "tmp", "old"), Step("rmdir", "d"),
    Step("symlink", "link", "moved"), Step("chmod", "moved", at=0o600), Step("rename", "box", "chest"), SETTLE,
    Step("read", "shared"), Step("they write", "shared", "two, and longer"), Step("they write", "news", "new"), SETTLE,
    Step("read", "news"), Step("read", "shared"), Step("evict", "news"), *saved("gone", "gone"), SETTLE,
    Step("unlink", "gone"), Step("unlink", "chest/inner"), *saved("never sent", "and gone"),
    Step("unlink", "never sent"), Step("sync"), SETTLE,
)  # fmt: skip


def after(tree: Tree, step: Step) -> Tree:
    """What is shown after one step more."""
    new = dict(tree)
    match step.word:
        case "create" | "they write":
            new[step.path] = step.more
        case "write":
            old = tree[step.path] or ""
            new[step.path] = old[: step.at].ljust(step.at, "\0") + step.more + old[step.at + len(step.more) :]
        case "truncate":
            new[step.path] = (tree[step.path] or "")[: step.at]
        case "mkdir":
            new[step.path] = None
        case "symlink":
            new[step.path] = f"-> {step.more}"
        case "unlink" | "rmdir":
            del new[step.path]
        case "rename":
            moved = [path for path in tree if path == step.path or path.startswith(f"{step.path}/")]
            new |= {step.more + path.removeprefix(step.path): new.pop(path) for path in moved}
    return new


def trees(script: Iterable[Step] = SCRIPT) -> list[Tree]:
    """The tree before the first step, and after each."""
    return list(itertools.accumulate(script, after, initial=BEFORE))
