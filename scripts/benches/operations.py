"""What is done through the share, one after another, and by what it is known to be seen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
BIG_BYTES = 64 * MIB
CHILDREN = 100  # files in the folder that is moved
SMALL, OTHER = b"small", b"another content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row. `@` stands in commands and paths for the sample's own name; paths are those in the mount."""

    name: str
    prepare: tuple[str, ...] = ()
    ready: str | None = None  # there once what was prepared is seen
    command: str
    target: str
    seen: Callable[[Path], bool]
    keeps: str | None = None  # where what lies at the target then lay before: the id must be the same
    is_long: bool = False


def operations(base: Path) -> list[Operation]:
    """All of them; their contents are made below `base`."""
    small, other, big = base / "small", base / "other", base / "big"
    small.write_bytes(SMALL)
    other.write_bytes(OTHER)
    big.write_bytes(os.urandom(MIB) * (BIG_BYTES // MIB))
    return [*_of_files(small, other), *_of_folders(small), _big_copy(big)]


def _of_files(small: Path, other: Path) -> list[Operation]:
    made = (f"put {small} a@",)
    return [
        Operation(name="create a file", command=f"put {small} n@", target="n@", seen=_holds(SMALL)),
        Operation(
            name="write a file anew", prepare=made, ready="a@", keeps="a@",
            command=f"put {other} a@", target="a@", seen=_holds(OTHER),
        ),
        Operation(
            name="rename a file", prepare=made, ready="a@", keeps="a@",
            command="rename a@ b@", target="b@", seen=_holds(SMALL),
        ),
        Operation(
            name="move a file to another folder", prepare=("mkdir d@", *made), ready="a@", keeps="a@",
            command="rename a@ d@/c", target="d@/c", seen=_holds(SMALL),
        ),
        Operation(
            name="rename a file over another", prepare=(*made, f"put {other} o@"), ready="o@", keeps="a@",
            command="rename o@ a@ -f", target="a@", seen=_holds(OTHER),
        ),
        Operation(name="delete a file", prepare=made, ready="a@", command="del a@", target="a@", seen=_is_gone),
    ]  # fmt: skip


def _of_folders(small: Path) -> list[Operation]:
    filled = ("mkdir t@", *(f"put {small} t@/{number}" for number in range(CHILDREN)))
    return [
        Operation(name="make a folder", command="mkdir f@", target="f@", seen=lambda path: path.is_dir()),
        Operation(
            name=f"rename a folder with {CHILDREN} files", prepare=filled, ready=f"t@/{CHILDREN - 1}", keeps="t@/7",
            command="rename t@ u@", target="u@/7", seen=lambda path: len(list(path.parent.iterdir())) == CHILDREN,
            is_long=True,
        ),
        Operation(
            name="delete a folder", prepare=("mkdir g@",), ready="g@", command="rmdir g@", target="g@", seen=_is_gone
        ),
    ]  # fmt: skip


def _big_copy(big: Path) -> Operation:
    return Operation(
        name=f"copy {BIG_BYTES // MIB} MiB to the share", command=f"put {big} big@", target="big@",
        seen=lambda path: path.stat().st_size == BIG_BYTES, is_long=True,
    )  # fmt: skip


def _holds(content: bytes) -> Callable[[Path], bool]:
    return lambda path: path.read_bytes() == content


def _is_gone(path: Path) -> bool:
    return not path.exists()
