"""The log: private, bounded, without secrets."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from vfs.logs import JournalLines, JsonLines, Redacting, private_file_handler

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("form", [logging.Formatter("%(message)s"), JsonLines(), JournalLines()])
def test_a_token_never_reaches_a_line(form: logging.Formatter) -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "Authorization: Bearer %s", ("s3cret",), None)
    line = Redacting(form, "s3cret").format(record)
    assert "s3cret" not in line
    assert "Bearer [token]" in line


def failure() -> logging.LogRecord:
    """A record with a trace."""
    try:
        int("no\nway")
    except ValueError:
        return logging.LogRecord("sync.engine", logging.ERROR, "f", 1, "gone: %s", ("x",), sys.exc_info())


def test_lines_for_machines_are_json() -> None:
    line = json.loads(JsonLines().format(failure()))
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "sync.engine", "gone: x")
    assert "ValueError: invalid literal" in line["trace"]
    assert datetime.fromisoformat(line["time"]).tzinfo is UTC


def test_every_line_to_the_journal_has_its_level() -> None:
    lines = JournalLines().format(failure()).splitlines()
    assert lines[0] == "<3>sync.engine: gone: x"
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)


def test_the_journal_is_known_by_its_stream() -> None:
    """As systemd sets JOURNAL_STREAM for a service."""
    with tempfile.TemporaryFile() as stream:
        status = os.fstat(stream.fileno())
        code = "import logging, sys; from vfs.logs import *; start_logging('INFO', LogFormat.TEXT, log_file=None,"
        code += " secret=None); logging.getLogger('a').warning('b')"
        environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run([sys.executable, "-c", code], stderr=stream, env=environment, check=True)
        stream.seek(0)
        assert stream.read() == b"<4>a: b\n"


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


def test_an_answer_that_nobody_waits_for_is_no_trouble(tmp_path: Path) -> None:
    """As pyfuse3 tells it when an unmount took the request back (ENOENT, fuse(4))."""
    log = tmp_path / "log"
    code = (
        "import logging, sys, pathlib; from vfs.logs import *;"
        " start_logging('INFO', LogFormat.TEXT, log_file=pathlib.Path(sys.argv[1]), secret=None);"
        " log = logging.getLogger('pyfuse3');"
        " log.error('fuse_release(): fuse_reply_* failed with %s', 'No such file or directory');"
        " log.error('fuse_read(): fuse_reply_* failed with %s', 'Invalid argument')"
    )
    subprocess.run([sys.executable, "-c", code, str(log)], check=True)
    (line,) = log.read_text().splitlines()
    assert "fuse_read(): fuse_reply_* failed with Invalid argument" in line
