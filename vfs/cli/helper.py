"""`mount.anchorfs`, as mount(8) calls it: `mount.anchorfs URL DIR [-sfnv] [-N space] [-t type] [-o options]`.

For `mount -t anchorfs http://host /mnt` and for fstab; link it into /sbin. It returns when the mount answers.
"""

from __future__ import annotations

import sys

from vfs.cli.app import make_app

_WITH_VALUE = frozenset(("-N", "-t"))
_FLAGS = frozenset("sfnvwr")


class HelperUsageError(Exception):
    """The arguments are not those that mount(8) gives."""


def translate(arguments: list[str]) -> list[str] | None:
    """The words for `anchorfs`; None when only a rehearsal was asked for (-f)."""
    places: list[str] = []
    options: list[str] = []
    flags = ""
    rest = iter(arguments)
    for word in rest:
        if word == "-o":
            options += ["-o", next(rest, "")]
        elif word in _WITH_VALUE:
            next(rest, "")
        elif word.startswith("-") and set(word[1:]) <= _FLAGS:
            flags += word[1:]
        elif word.startswith("-"):
            raise HelperUsageError(f"unknown option {word}")
        else:
            places.append(word)
    if len(places) != 2:
        raise HelperUsageError("usage: mount.anchorfs URL DIR [-sfnvrw] [-N namespace] [-t type] [-o options]")
    read_only = ["--read-only"] if "r" in flags else []
    return None if "f" in flags else ["mount", *places, "--daemon", *read_only, *options]


def main() -> None:
    """Entry point of the command `mount.anchorfs`."""
    try:
        words = translate(sys.argv[1:])
    except HelperUsageError as error:
        sys.stderr.write(f"mount.anchorfs: {error}\n")
        sys.exit(1)
    if words is not None:
        make_app("mount")(words)
