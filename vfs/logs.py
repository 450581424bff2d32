"""Where the log goes and in what form: standard error in the foreground, a private rotating file in the
daemon.

A log that grows for a month stays small, and a token never enters it, whoever writes the line.
"""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

FILE_BYTES_MAX = 5 << 20
FILES_KEPT = 3
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Redacting(logging.Formatter):
    """Takes the secret out of whole lines, tracebacks included."""

    def __init__(self, secret: str | None) -> None:
        super().__init__(_FORMAT)
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        """The line without the secret."""
        text = super().format(record)
        return text.replace(self._secret, "[token]") if self._secret else text


def start_logging(level: str, *, log_file: Path | None, secret: str | None) -> None:
    """Set up the root logger of this process, once."""
    handler = logging.StreamHandler(sys.stderr) if log_file is None else private_file_handler(log_file)
    handler.setFormatter(Redacting(secret))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "pyfuse3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def private_file_handler(log_file: Path) -> logging.Handler:
    """A rotating log file that only its owner can read, whatever the umask says."""
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    log_file.chmod(0o600)
    return PrivateRotatingFileHandler(log_file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")


class PrivateRotatingFileHandler(RotatingFileHandler):
    """Opens each new file with 0600."""

    def doRollover(self) -> None:  # noqa: N802 - the name is the standard library's
        """Rotate, then close the new file to others."""
        super().doRollover()
        Path(self.baseFilename).chmod(0o600)
