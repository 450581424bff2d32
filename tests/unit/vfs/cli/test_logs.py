"""The log: private, bounded, without secrets."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from vfs.logs import Redacting, private_file_handler

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_never_reaches_a_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "Authorization: Bearer %s", ("s3cret",), None)
    line = Redacting("s3cret").format(record)
    assert "s3cret" not in line
    assert "Bearer [token]" in line


def test_the_file_is_private_also_after_it_was_rotated(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        handler = private_file_handler(tmp_path / "log" / "mount.log")
        handler.doRollover()
        handler.close()
    finally:
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in (tmp_path / "log").iterdir()}
    assert modes == {0o600}
