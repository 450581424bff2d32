"""Where the log goes and in what form: standard error in the foreground, a private rotating file in the daemon.

Lines are for people, or JSON for machines; to the journal each has its level in front, as sd-daemon(3) wants it, and no
time of its own. A log that grows for a month stays small, and a token never enters it, whoever writes the line.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import msgspec

from cache.private import make_private

FILE_BYTES_MAX = 5 << 20
FILES_KEPT = 3
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_JOURNAL_FORMAT = "%(name)s: %(message)s"
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog(3)


class LogFormat(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


class Redacting(logging.Formatter):
    """Another form, with the secret taken out of whole lines, tracebacks included."""

    def __init__(self, form: logging.Formatter, secret: str | None) -> None:
        super().__init__()
        self._form = form
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        """The line without the secret."""
        text = self._form.format(record)
        return text.replace(self._secret, "[token]") if self._secret else text


class JsonLines(logging.Formatter):
    """One JSON object for each line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        """`time` in UTC, `level`, `logger`, `message`, and `trace` where there is one."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class JournalLines(logging.Formatter):
    """`<6>sync.engine: online`; every line of a trace has the level, too."""

    def __init__(self) -> None:
        super().__init__(_JOURNAL_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """With the level in front."""
        mark = f"<{_PRIORITIES.get(record.levelname, 6)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


def start_logging(level: str, form: LogFormat, *, log_file: Path | None, secret: str | None) -> None:
    """Set up the root logger of this process, once."""
    handler = logging.StreamHandler(sys.stderr) if log_file is None else private_file_handler(log_file)
    handler.setFormatter(Redacting(_form(form, journal=log_file is None and _is_journal(sys.stderr)), secret))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "pyfuse3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("pyfuse3").addFilter(_is_wanted_answer)
    logging.captureWarnings(capture=True)


def _is_wanted_answer(record: logging.LogRecord) -> bool:
    """Whether it is more than an answer that nobody waits for: an unmount, or a killed caller, takes requests back."""
    return not record.getMessage().endswith(f"fuse_reply_* failed with {os.strerror(errno.ENOENT)}")


def _form(form: LogFormat, *, journal: bool) -> logging.Formatter:
    if form is LogFormat.JSON:
        return JsonLines()
    return JournalLines() if journal else logging.Formatter(_FORMAT)


def _is_journal(stream: TextIO) -> bool:
    """Whether the journal reads this stream: systemd tells its device and inode (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def private_file_handler(log_file: Path) -> logging.Handler:
    """A rotating log file that only its owner can read, whatever the umask says."""
    make_private(log_file.parent)
    os.close(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    log_file.chmod(0o600)
    return PrivateRotatingFileHandler(log_file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")


class PrivateRotatingFileHandler(RotatingFileHandler):
    """Opens each new file with 0600."""

    def doRollover(self) -> None:  # noqa: N802 - the name is the standard library's
        """Rotate, then close the new file to others."""
        super().doRollover()
        Path(self.baseFilename).chmod(0o600)
