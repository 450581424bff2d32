"""The table from error to errno, and the wrapper around the handlers."""

from __future__ import annotations

import errno
import logging

import pyfuse3
import pytest
import trio

from cache import errors as local
from sync import remote
from vfs.errnos import ERRNOS, errno_of, guarded


def all_kinds(root: type[BaseException]) -> list[type[BaseException]]:
    return [root, *(kind for child in root.__subclasses__() for kind in all_kinds(child))]


@pytest.mark.parametrize("root", [local.LocalError, remote.RemoteError])
def test_every_error_has_a_row(root: type[BaseException]) -> None:
    missing = [kind for kind in all_kinds(root) if kind not in ERRNOS and not kind.__module__.startswith("test")]
    assert missing == []


def test_no_row_switches_a_call_off() -> None:
    assert errno.ENOSYS not in ERRNOS.values()


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (local.NotFound("x"), errno.ENOENT),
        (local.NotEmpty("x"), errno.ENOTEMPTY),
        (local.WouldCycle("x"), errno.EINVAL),
        (remote.Gone(tombstone=True), errno.ENOENT),
        (remote.Gone(tombstone=False), errno.EIO),
        (remote.QuotaFull(), errno.EDQUOT),
        (remote.Unreachable(), errno.EHOSTUNREACH),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (PermissionError(errno.EPERM, "no"), errno.EPERM),
        (OSError(errno.ETIMEDOUT, "late"), errno.ETIMEDOUT),
        (TimeoutError(), errno.ETIMEDOUT),
        (trio.TooSlowError(), errno.ETIMEDOUT),
        (ExceptionGroup("one", [remote.Busy()]), errno.ETIMEDOUT),
        (ExceptionGroup("two", [remote.Busy(), remote.Busy()]), None),
        (FileNotFoundError(errno.ENOENT, "a blob of ours"), None),
        (OSError(errno.ENOSYS, "not here"), None),
        (OSError("without a number"), None),
        (RuntimeError("a mistake"), None),
    ],
)
def test_numbers(error: BaseException, number: int | None) -> None:
    assert errno_of(error) == number


def test_a_new_error_gets_its_parents_number() -> None:
    class TestOnlyError(remote.QuotaFull):
        """Not in the table."""

    TestOnlyError.__module__ = "test"  # the row test passes it over while this class is alive
    assert errno_of(TestOnlyError()) == errno.EDQUOT


@guarded
class Failing(pyfuse3.Operations):
    """Raises what it is given, wherever it is asked."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def release(self, _fh: int) -> None:
        raise self.error

    async def forget(self, _inode_list: object) -> None:
        raise self.error


async def test_fuse_errors_pass_unchanged() -> None:
    error = pyfuse3.FUSEError(errno.ENODATA)
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Failing(error).release(1)
    assert caught.value is error


async def test_cancellation_passes() -> None:
    @guarded
    class Sleeping(pyfuse3.Operations):
        async def release(self, _fh: int) -> None:
            await trio.sleep_forever()

    with trio.CancelScope() as scope:
        scope.cancel()
        await Sleeping().release(1)
    assert scope.cancelled_caught


async def test_the_unforeseen_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Failing(RuntimeError("a mistake")).release(1)
    assert caught.value.errno == errno.EIO
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert "a mistake" in str(record.exc_info[1])


async def test_the_foreseen_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Failing(local.NotFound("x")).release(1)
    assert caught.value.errno == errno.ENOENT
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), pyfuse3.FUSEError(errno.EIO)])
async def test_forget_never_raises(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    await Failing(error).forget([])
    assert any(record.levelno >= logging.ERROR for record in caplog.records)
