"""Every limit and period of the server, with its default. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from server_stub.watching.status import WatchMode

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one server runs."""

    root: Path
    state: Path
    tokens: Path | None = None  # None with no_auth
    no_auth: bool = False
    host: str = "127.0.0.1"
    port: int = 8420
    fold_names: bool = False  # no two names in a folder that differ in letter case or Unicode form only
    tls_cert: Path | None = None  # with tls_key: HTTPS, and nothing else
    tls_key: Path | None = None
    log_requests: bool = True
    ready_file: Path | None = None
    scan_interval_s: float = 60.0  # 0: no timer
    watch: WatchMode = WatchMode.OFF  # for changes that others make, between scans
    samba_log: Path | None = None  # where vfs_full_audit writes who did what
    activity_max: int = 100_000  # lines about who did what; the oldest go first
    scan_duty: float = 0.5  # share of time that a walk by timer works
    full_scan_share: float = 0.1  # share of time for walks that ask every file; quick ones, folders only, come between
    settle_within_s: float = 5.0  # that a request waits to learn what others did
    retention_s: int = 30 * DAY_S  # of versions, tombstones and idempotency keys
    feed_max_rows: int = 1_000_000  # tombstones, and moves, that the feed keeps; the oldest go first
    feed_examine_max: int = 5_000  # rows that one page of a scope looks at
    streams_max: int = 2_048  # open event streams; each costs one socket
    stream_interval_s: float = 0.05  # between two events of one stream: commits meanwhile are one event
    webhooks_max: int = 20  # of one token
    webhook_allow_private: bool = False  # call loopback and private addresses too
    webhook_timeout_s: float = 10.0  # of one call, name service included
    webhook_interval_s: float = 0.25  # between two calls of one webhook: commits meanwhile are one call
    webhook_backoff_s: float = 1.0  # after the first failure; doubled after each
    webhook_backoff_max_s: float = 3_600.0
    webhook_give_up_s: float = 3.0 * DAY_S  # of failures without a success between them
    webhook_attempts_min: int = 8  # and at least so many
    kept_max_bytes: int = 64 << 30  # of older contents; the oldest go first
    page_default: int = 500
    page_max: int = 5_000
    batch_max: int = 1_000  # ids in one batchGet
    content_batch_max: int = 5_000  # contents in one content:batch
    tree_max_items: int = 50_000  # that one copy, restore or deletion changes; it is one transaction
    copies_max: int = 2  # that run at a time; each holds a thread that reading contents needs too
    search_page_s: float = 2.0  # after which a page of a search ends, however little was found
    json_body_max_bytes: int = 1 << 20
    content_max_bytes: int = 1 << 43
    upload_max_bytes: int = 1 << 43  # Tus-Max-Size
    uploads_max: int = 10_000  # that one token holds at a time, open or finished
    uploads_max_bytes: int = 1 << 43  # of them together
    upload_ttl_s: int = 7 * DAY_S  # from its last byte; then as long again until a proof of it is dropped
    upload_idle_s: float = 120.0  # a request that sends nothing for so long is ended, with what arrived kept
    keepalive_s: float = 15.0  # between comment lines of an idle stream
    wait_max_s: float = 60.0
    concurrency_max: int = 4_096
    stop_within_s: int = 5
    keep_alive_s: int = 15  # of an idle connection between two requests
    head_max_bytes: int = 65_536  # request line and fields; a name of 255 bytes is 765 percent-encoded
    fields_max: int = 100
    head_timeout_s: float = 30.0  # for a request head to arrive
    stall_timeout_s: float = 60.0  # of a body that sends nothing, of a reader that takes nothing
