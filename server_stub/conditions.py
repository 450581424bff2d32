"""Conditional requests (RFC 9110 §13) over strong entity tags. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from server_stub.instants import NANOS, from_http_date

_TAG: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')


class Outcome(Enum):
    """What the conditions of a GET or HEAD ask for."""

    GO_ON = "go on"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def quote(tag: str) -> str:
    """A strong entity tag."""
    return f'"{tag}"'


def tags_of(field: str) -> list[tuple[bool, str]] | None:
    """(is_weak, tag) of a list of entity tags; None for `*`. Malformed members match nothing."""
    if field.strip() == "*":
        return None
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(field):
        match = _TAG.match(field, position)
        if match is None:
            comma = field.find(",", position)
            position = len(field) if comma < 0 else comma + 1
            continue
        tags.append((match[1] is not None, match[2]))
        position = match.end() + 1
    return tags


def strong_match(field: str, current: str) -> bool:
    """If-Match: strong comparison; `*` matches what exists."""
    tags = tags_of(field)
    return tags is None or (False, current) in tags


def weak_match(field: str, current: str) -> bool:
    """If-None-Match: weak comparison."""
    tags = tags_of(field)
    return tags is None or any(tag == current for _, tag in tags)


def evaluate(
    *,
    current: str,
    modified_ns: int,
    if_match: str | None = None,
    if_unmodified_since: str | None = None,
    if_none_match: str | None = None,
    if_modified_since: str | None = None,
) -> Outcome:
    """The precedence of RFC 9110 §13.2.2 for GET and HEAD, If-Range aside."""
    modified_s = modified_ns // NANOS
    if if_match is not None:
        if not strong_match(if_match, current):
            return Outcome.FAILED
    elif _is_later(modified_s, if_unmodified_since):
        return Outcome.FAILED
    if if_none_match is not None:
        return Outcome.NOT_MODIFIED if weak_match(if_none_match, current) else Outcome.GO_ON
    if if_modified_since is not None and from_http_date(if_modified_since) is not None:
        return Outcome.GO_ON if _is_later(modified_s, if_modified_since) else Outcome.NOT_MODIFIED
    return Outcome.GO_ON


def range_applies(if_range: str | None, current: str) -> bool:
    """Whether Range is honoured. A date never is: our Last-Modified has seconds, so it is no strong
    validator.
    """
    return if_range is None or if_range.strip() == quote(current)


def _is_later(modified_s: int, since: str | None) -> bool:
    since_s = None if since is None else from_http_date(since)
    return since_s is not None and modified_s > since_s
