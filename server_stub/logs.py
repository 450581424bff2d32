"""Log lines for people or for machines, each with the id of the request that it belongs to.

Secrets never reach a line: header values and query strings are not logged, and anything that looks like one of our
tokens is struck out, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from enum import StrEnum
from typing import Final

import msgspec

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECRET: Final = re.compile(r"(anchor_[0-9a-f]{2,}_|whsec_|[Bb]earer\s+)[A-Za-z0-9_+/=.-]{4,}")
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogFormat(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


def without_secrets(text: str) -> str:
    """The text with tokens and webhook secrets struck out."""
    return _SECRET.sub(r"\1***", text)


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO server_stub.gate [4f…]: GET /v1/root 200 0.8 ms`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s%(request)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a trace below it."""
        current = request_id.get()
        record.request = "" if current == "-" else f" [{current}]"
        return without_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per line; what is passed as `extra` stands as members of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the text holds."""
        seconds, millis = divmod(int(record.created * 1000), 1000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        line: dict[str, object] = {
            "time": f"{moment}.{millis:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) != "-":
            line["request_id"] = current
        line |= {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        text = msgspec.json.encode(line, enc_hook=str).decode("utf-8", "replace")
        return without_secrets(text)


def set_up_logs(log_format: LogFormat, *, verbose: bool) -> None:
    """Every logger of the process to stderr, in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)
