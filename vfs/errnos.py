"""The one table from error to errno, and the wrapper that lets nothing but FUSEError leave a handler.

Any other exception that leaves a handler ends the whole mount. A type is looked up along its bases, so a
new error gets its parent's number until it has a row; a test asks for the row. An OSError keeps its number,
but not one that can only speak of our own files: a missing blob is EIO, never ENOENT, and ENOSYS would
switch the call off for the life of the mount. Cancellation passes.
"""

from __future__ import annotations

import errno
import functools
import inspect
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pyfuse3
import trio

from cache import errors as local
from sync import remote
from vfs.callers import by_root, caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")
_Operations = TypeVar("_Operations", bound=pyfuse3.Operations)

_log = logging.getLogger(__name__)

ERRNOS: dict[type[BaseException], int] = {
    local.LocalError: errno.EIO,
    local.NotFound: errno.ENOENT,
    local.Exists: errno.EEXIST,
    local.NotEmpty: errno.ENOTEMPTY,
    local.WrongKind: errno.EINVAL,
    local.NotAFolder: errno.ENOTDIR,
    local.IsAFolder: errno.EISDIR,
    local.WouldCycle: errno.EINVAL,
    local.NameInvalid: errno.EINVAL,
    local.NameTooLong: errno.ENAMETOOLONG,
    local.TooBig: errno.EFBIG,
    local.NoSpaceLeft: errno.ENOSPC,
    local.Stale: errno.ESTALE,
    local.NotPermitted: errno.EACCES,
    local.MayNotFetch: errno.EPERM,
    local.NotSupported: errno.ENOTSUP,
    local.NotKept: errno.EPERM,  # what symlink(2) says of a file system without symlinks
    local.NoAttribute: errno.ENODATA,
    local.CacheInUse: errno.EBUSY,
    local.StateUnusable: errno.EIO,
    local.NoDriveHere: errno.EIO,
    remote.RemoteError: errno.EIO,
    remote.Transient: errno.EHOSTUNREACH,
    remote.Unreachable: errno.EHOSTUNREACH,
    remote.Busy: errno.ETIMEDOUT,
    remote.Unknown: errno.EIO,
    remote.Permanent: errno.EIO,
    remote.Conflict: errno.ESTALE,
    remote.Gone: errno.EIO,  # with a tombstone ENOENT: only a tombstone deletes
    remote.VersionGone: errno.ESTALE,
    remote.Denied: errno.EACCES,
    remote.NotSignedIn: errno.EACCES,
    remote.NameRefused: errno.EINVAL,
    remote.UploadGone: errno.EIO,
    remote.QuotaFull: errno.EDQUOT,
    remote.AnchorExpired: errno.EIO,
    remote.BadDigest: errno.EIO,
    remote.ProtocolViolation: errno.EIO,
    remote.Refused: errno.EIO,
    trio.TooSlowError: errno.ETIMEDOUT,
    TimeoutError: errno.ETIMEDOUT,
}

# Numbers that a caller of the mount would take for a fact about the drive.
_OF_OUR_OWN_FILES = frozenset(
    {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.ENOSYS,
        errno.EAGAIN,
        errno.ENOTCONN,
    }
)


def errno_of(error: BaseException) -> int | None:
    """The number that the caller of the mount gets for `error`; None for an error that nobody foresaw."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return errno_of(error.exceptions[0])  # what a nursery makes of one failure
    if isinstance(error, remote.Gone) and error.tombstone:
        return errno.ENOENT
    for kind in type(error).__mro__:
        if kind in ERRNOS:
            return ERRNOS[kind]
    if isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_OUR_OWN_FILES:
        return error.errno
    return None


def guarded(operations: type[_Operations]) -> type[_Operations]:
    """Wrap every asynchronous handler that the class defines itself, so that none can be forgotten."""
    for name, handler in list(vars(operations).items()):
        if inspect.iscoroutinefunction(getattr(pyfuse3.Operations, name, None)):
            setattr(operations, name, (_guard_unanswered if name == "forget" else _guard)(handler))
    return operations


def _guard(handler: Callable[_Arguments, Awaitable[_Answer]]) -> Callable[_Arguments, Awaitable[_Answer]]:
    @functools.wraps(handler)
    async def answer(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Answer:
        context = arguments[-1] if isinstance(arguments[-1], pyfuse3.RequestContext) else None
        caller.set(context.pid if context else 0)
        by_root.set(context is not None and context.uid == 0)
        try:
            return await handler(*arguments, **named)
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            raise _translated(handler, error) from error

    return answer


def _guard_unanswered(
    handler: Callable[_Arguments, Awaitable[None]],
) -> Callable[_Arguments, Awaitable[None]]:
    """For forget: nobody waits for its answer, and even a FUSEError from it would end the mount."""

    @functools.wraps(handler)
    async def answer(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        try:
            await handler(*arguments, **named)
        except Exception:  # noqa: BLE001 - whatever it is, it may not leave
            _log.exception("%s failed", handler.__name__)

    return answer


def _translated(handler: Callable[..., object], error: Exception) -> pyfuse3.FUSEError:
    number = errno_of(error)
    if number is None:
        _log.exception("%s failed unforeseen", handler.__name__, exc_info=error)
        return pyfuse3.FUSEError(errno.EIO)
    _log.debug("%s: %s", handler.__name__, error)
    return pyfuse3.FUSEError(number)
