"""Errors of the layers below become words, a kind and an exit status."""

from __future__ import annotations

import pytest

from cache.errors import CacheInUse, NoDriveHere, NotFound, StateUnusable
from sync.remote import Busy, Denied, NotSignedIn, ProtocolViolation, Unknown, Unreachable
from vfs.failure import Failure, Told, describe


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (NotSignedIn("401"), "not-signed-in", 77),
        (Denied("403"), "denied", 77),
        (Unreachable("refused"), "unreachable", 75),
        (Busy("503"), "busy", 75),
        (ProtocolViolation("html"), "protocol-violation", 78),
        (Unknown("cut"), "unknown", 1),
        (StateUnusable("newer", path="/c"), "state-unusable", 78),
        (NoDriveHere("none", path="/c"), "state-unusable", 78),
        (NotFound("x"), "not-found", 1),
        (FileNotFoundError(2, "No such file", "/x"), "os-error", 1),
        (RuntimeError("bug"), "internal", 1),
    ],
)
def test_each_error_has_its_kind_and_status(error: Exception, kind: str, status: int) -> None:
    told = describe(error, about="http://h").told
    assert (told.kind, told.exit_status) == (kind, status)
    assert told.message


def test_a_cache_in_use_names_the_process_and_the_folder() -> None:
    told = describe(CacheInUse("locked", path="/c", pid=4711), about="http://h").told
    assert "/c" in told.message
    assert "4711" in told.message
    assert "--cache-dir" in told.hint


def test_a_refusal_tells_the_command_that_mends_it() -> None:
    assert "anchorfs login http://h" in describe(NotSignedIn("401"), about="http://h").told.hint
    assert describe(NoDriveHere("none", path="/c"), about="x").told.message == "no drive is kept there: /c"


def test_the_cache_of_another_drive_is_not_told_as_a_damaged_one() -> None:
    told = describe(StateUnusable("of another drive", cache_dir="/c"), about="http://h").told
    assert (told.kind, told.exit_status) == ("state-unusable", 78)
    assert told.hint == "what was not sent stays in /c: give another --cache-dir for this drive"


def test_a_lone_error_in_nested_groups_is_told_as_itself() -> None:
    grouped = ExceptionGroup("outer", [ExceptionGroup("inner", [Unreachable("refused")])])
    assert describe(grouped, about="http://h").told.exit_status == 75


def test_a_failure_crosses_a_pipe_unchanged() -> None:
    told = Told(kind="busy", message="m", hint="h", exit_status=75)
    assert Failure.of(told).told == told
