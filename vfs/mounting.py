"""One mount from its first system call to its last: open the drive, mount, serve, flush, unmount.

Nothing on the trio thread may touch the mount itself: it would wait for an answer that only this thread can
give. The order of leaving is law: flush while the kernel is still served, stop the notifications, unmount,
flush what came in between, close. A lazy unmount is the last resort, said in the log.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyfuse3
import trio

from cache.errors import LocalError
from vfs import mountpoint as table
from vfs import notices
from vfs.archive import ArchiveAnswers
from vfs.channel import take_requests
from vfs.control import Control
from vfs.drive import Drive, DriveConfig, open_drive
from vfs.failure import ExitStatus, Failure
from vfs.flushing import Flush, Outcome, outcome_of
from vfs.invalidation import Invalidation
from vfs.kernel_mount import fuse_options, fuse_place
from vfs.notifications import Notifications
from vfs.operations import Operations
from vfs.pages import PageStore
from vfs.registry import Record, Registry
from vfs.supervision import ServiceManager, watch_sleep

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.model import Ino
    from vfs.config import MountConfig

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 20.0
BUSY_PATIENCE_S = 2.0  # a shell that just left, a file that is just being closed
LINGER_S = 3.0  # the kernel has said everything long before
SWITCH_INTERVAL_S = 0.0005  # a worker that ends must not wait 5 ms for this thread: copying trees takes 10 % less
READ_AHEAD_KIB = 16 << 10  # a network drive lives from long requests; the kernel's default is 128 KiB


def drive_config(config: MountConfig) -> DriveConfig:
    """What the drive needs to know of the mount."""
    return DriveConfig(
        url=config.url,
        cache_dir=Path(config.cache_dir),
        cache_size=config.cache_size_bytes,
        free_space=config.free_space_bytes,
        rules=config.rules,
        token=config.token,
        read_only=config.read_only,
        mountpoint=Path(config.mountpoint),
        hydration=config.hydration,
        conflicts=config.conflicts,
        push=config.push,
        poll_interval_s=config.poll_interval_s,
        write_back_delay_s=config.write_back_delay_s,
        up_bytes_per_s=config.rates.up,
        down_bytes_per_s=config.rates.down,
        unsafe_writes=config.unsafe_writes,
    )


async def serve(
    config: MountConfig,
    registry: Registry,
    ready: Callable[[], None],
    *,
    log_file: str | None = None,
    lifeline_fd: int | None = None,
) -> Outcome:
    """Serve the mount until it is unmounted, here or from outside, or a signal asks to leave.

    `ready` is called once the mount answers. At the end of file on `lifeline_fd` the mount leaves too. Raises what
    `open_drive` raises, and Failure when the kernel refuses the mount.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with open_drive(drive_config(config)) as drive:
        if not (drive.writable or config.read_only):
            log.info("the server honours no condition: nothing can be changed through this mount (-o unsafe_writes)")
            config = msgspec.structs.replace(config, read_only=True)
        session = Session(config, drive, registry, log_file)
        return await session.run(ready, lifeline_fd)


class Session:
    """A mounted drive. One owner of the way out: `leave`, behind a lock."""

    def __init__(self, config: MountConfig, drive: Drive, registry: Registry, log_file: str | None) -> None:
        self._config = config
        self._engine = drive.engine
        self._archive = ArchiveAnswers(drive.engine.store, drive.archive, drive.engine.nudge)
        self._registry = registry
        self._log_file = log_file
        self._operations = Operations(drive.filesystem, uid=os.getuid(), gid=os.getgid())
        self._notifications = Notifications()
        drive.filesystem.listings.drop = self._drop_pages
        self._invalidation = Invalidation(drive.news, self._operations, self._notifications)
        self._pages = PageStore(drive.filesystem.files.pages, self._operations.knows, self._notifications)
        drive.engine.prefetcher.pages = self._pages
        self._notifying: trio.CancelScope | None = None
        self._resume, self._paused = trio.Event(), trio.Event()
        self._flushing: Flush | None = None
        self._leaving, self._ended = trio.Lock(), trio.Event()
        self._forced = False
        self._flush_at_end = True
        self._detached = False
        self._answered = False
        self._manager = ServiceManager(os.environ)

    async def run(self, ready: Callable[[], None], lifeline_fd: int | None) -> Outcome:
        """Mount, serve, leave."""
        told = self._invalidation.delivered
        control = Control(self._engine, self.leave, self._facts(), self._archive.handlers(), told)
        async with trio.open_nursery() as nursery:
            self._mount()
            try:
                await nursery.start(self._watch_signals)
                await nursery.start(control.serve, self._registry.socket_path(self._config.mountpoint))
                if lifeline_fd is not None:
                    nursery.start_soon(self._watch_lifeline, lifeline_fd)
                await self._serve_kernel(ready)
            finally:
                self._registry.remove(self._config.mountpoint)
                self._pages.close()
                # A drive that dies stays as a dead mount (ENOTCONN): an empty folder would pass for it.
                pyfuse3.close(unmount=not self._answered)
                self._operations.unmounted()
            if self._flush_at_end:
                await self._flush(None)
            await control.drain(timeout_s=2.0)
            nursery.cancel_scope.cancel()
        return outcome_of(self._engine.statistics())

    async def leave(self, *, flush: bool = True, timeout_s: float | None = None, force: bool = False) -> Outcome:
        """Flush, then unmount; Failure `busy` (and the mount goes on) when it is in use and not forced."""
        async with self._leaving:
            self._flush_at_end = False
            self._manager.tell("STOPPING=1", "STATUS=flushing")
            if flush and not self._forced:
                # What is written between this flush and the unmount is worth a second one, if the server answers.
                self._flush_at_end = await self._flush(timeout_s)
            if not self._detached:
                await self._unmount(force=force)
        return outcome_of(self._engine.statistics())

    def _mount(self) -> None:
        try:
            pyfuse3.init(self._operations, fuse_place(self._config), fuse_options(self._config))
        except RuntimeError as error:
            raise Failure(
                "mount-refused",
                f"the kernel refused to mount on {self._config.mountpoint}: {error}",
                hint="the reason stands above or in the log; may this user mount here?",
            ) from error

    async def _serve_kernel(self, ready: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notify)
            nursery.start_soon(self._announce, ready)
            nursery.start_soon(self._manager.keep_alive)
            nursery.start_soon(watch_sleep, self._engine.nudge)
            if self._config.notify:
                nursery.start_soon(notices.watch, self._config.mountpoint, self._engine.statistics)
            await take_requests(self._operations.answers, self._notifications)
            self._ended.set()
            log.info("%s is unmounted", self._config.mountpoint)
            nursery.cancel_scope.cancel()

    async def _notify(self) -> None:
        """Run the kernel notifications, but for the moments in which an unmount is tried."""
        while True:
            with trio.CancelScope() as self._notifying:
                await self._invalidation.run()
            self._paused.set()
            await self._resume.wait()
            self._resume, self._paused = trio.Event(), trio.Event()

    async def _drop_pages(self, ino: Ino) -> None:
        await trio.to_thread.run_sync(self._notifications.invalidate_inode, ino, abandon_on_cancel=True)

    async def _announce(self, ready: Callable[[], None]) -> None:
        path = self._config.mountpoint
        if self._config.fuse_fd is None or table.mounted_at(path) is not None:
            health = await trio.to_thread.run_sync(table.probe, path, ANSWER_TIMEOUT_S, abandon_on_cancel=True)
            if health is not table.Health.ALIVE:
                raise Failure("mount-silent", f"{path} was mounted, but does not answer ({health})")
        self._notifications.ensure_attached()
        await trio.to_thread.run_sync(table.raise_read_ahead, path, READ_AHEAD_KIB, abandon_on_cancel=True)
        self._registry.add(self._record())
        self._answered = True
        log.info("%s is mounted on %s", self._config.url, path)
        ready()
        self._manager.tell("READY=1", f"STATUS={self._config.url} on {path}")

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async with trio.open_nursery() as nursery:
                async for number in signals:
                    log.info("%s: flushing and unmounting", signal.Signals(number).name)
                    if self._flushing is not None:
                        self._forced = True
                        self._flushing.cancel()
                    nursery.start_soon(self._leave_anyway)

    async def _watch_lifeline(self, fd: int) -> None:
        await trio.lowlevel.wait_readable(fd)
        while os.read(fd, 4096):
            await trio.lowlevel.wait_readable(fd)
        log.info("the parent process is gone: flushing and unmounting")
        await self._leave_anyway()

    async def _leave_anyway(self) -> None:
        with suppress(LocalError):  # of the disk here, met when it is told what is left: `run` says so too
            await self.leave(force=True)

    async def _flush(self, timeout_s: float | None) -> bool:
        self._flushing = Flush(self._engine, self._config.cache_dir)
        pushed = await self._flushing.run(self._config.flush_timeout_s if timeout_s is None else timeout_s)
        self._flushing = None
        return pushed

    async def _unmount(self, *, force: bool) -> None:
        path = self._config.mountpoint
        if self._config.fuse_fd is not None:  # who mounted it unmounts it
            self._detached = True
            pyfuse3.terminate()
            return
        if self._notifying is not None:
            self._notifying.cancel()
            await self._paused.wait()
        reason = await self._detach_patiently(path)
        if reason is None:
            self._detached = True
            await self._end_elsewhere()
            return
        users = await trio.to_thread.run_sync(lambda: ", ".join(table.users_of(path)), abandon_on_cancel=True)
        if not force:
            self._resume.set()
            raise Failure(
                "busy",
                f"{path} cannot be unmounted: {reason}",
                hint=f"in use by {users}" if users else "some process works in it, or has a file open there",
                status=ExitStatus.FAILED,
            )
        log.info("%s is in use%s; it is detached now, open files there end", path, users and f" by {users}")
        await trio.to_thread.run_sync(lambda: table.detach(path, lazy=True))
        self._detached = True
        pyfuse3.terminate()

    async def _end_elsewhere(self) -> None:
        """A mount namespace that was made meanwhile (a container's) has the mount too, and would keep it."""
        with trio.move_on_after(LINGER_S):
            await self._ended.wait()
            return
        log.info("%s is in another mount namespace too; it ends there", self._config.mountpoint)
        pyfuse3.terminate()

    async def _detach_patiently(self, path: str) -> str | None:
        deadline = trio.current_time() + (0.0 if self._forced else BUSY_PATIENCE_S)
        while True:
            reason = await trio.to_thread.run_sync(lambda: table.detach(path, lazy=False))
            if reason is None or trio.current_time() >= deadline:
                return reason
            await trio.sleep(0.2)

    def _facts(self) -> dict[str, object]:
        config = self._config
        return {
            "mountpoint": config.mountpoint,
            "url": config.url,
            "pid": os.getpid(),
            "cache_dir": config.cache_dir,
            "log_file": self._log_file,
            "read_only": config.read_only,
        }

    def _record(self) -> Record:
        config = self._config
        return Record(
            mountpoint=config.mountpoint,
            url=config.url,
            pid=os.getpid(),
            cache_dir=config.cache_dir,
            log_file=self._log_file,
        )
