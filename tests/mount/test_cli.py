"""The commands on a real mount of a real server: mounting, leaving, running, each failure with its words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, until
from tests.mount.test_documents import members
from vfs import mountpoint as table
from vfs.registry import is_alive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mount import Mount
    from tests.harness.server import ServerProcess
    from tests.mount.conftest import NewMount

pytestmark = pytest.mark.fuse


@pytest.fixture
def idle(new_mount: NewMount) -> Mount:
    """A mount not started yet: its folders and environment serve the commands."""
    return new_mount("mnt", start=False)


def _told(mount: Mount, *words: str) -> tuple[int, dict[str, object]]:
    done = mount.command("mount", *words, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["message"]
    assert error["hint"] or error["kind"] == "configuration"  # that one's message is the way out itself
    assert error["exit_status"] == done.returncode
    return done.returncode, error


def test_a_wrong_scheme_is_refused(idle: Mount) -> None:
    status, error = _told(idle, "ftp://127.0.0.1:1", str(idle.path))
    assert (status, error["kind"]) == (78, "configuration")
    assert "http://" in str(error["message"])


def test_an_address_without_a_drive_is_told(idle: Mount, tmp_path: Path) -> None:
    served = tmp_path / "plain"
    served.mkdir()
    script = "import http.server as h, sys; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler); "
    script += "print(s.server_port, flush=True); s.serve_forever()"
    plain = subprocess.Popen(
        [os.sys.executable, "-c", script],
        cwd=served,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert plain.stdout is not None
        port = int(plain.stdout.readline())
        status, error = _told(idle, f"http://127.0.0.1:{port}", str(idle.path), "--daemon")
    finally:
        plain.kill()
        plain.communicate()
    assert status == 78
    assert str(port) in str(error["message"])


def test_a_wrong_token_is_77_and_never_repeated(idle: Mount) -> None:
    idle.environment["ANCHORFS_TOKEN"] = "wrong-s3cret"
    status, error = _told(idle, idle.url, str(idle.path), "--daemon")
    assert (status, error["kind"]) == (77, "not-signed-in")
    assert "wrong-s3cret" not in json.dumps(error)
    assert table.mounted_at(str(idle.path)) is None


def test_a_server_that_is_down_is_75(idle: Mount, server: ServerProcess) -> None:
    server.stop()
    status, error = _told(idle, idle.url, str(idle.path), "--daemon")
    assert (status, error["kind"]) == (75, "unreachable")
    assert idle.url in str(error["message"])
    assert table.mounted_at(str(idle.path)) is None


def test_mount_points_that_cannot_be_are_78(idle: Mount) -> None:
    missing, file, full = idle.path / "a", idle.path.parent / "file", idle.path.parent / "full"
    file.touch()
    full.mkdir()
    (full / "x").touch()
    kinds = []
    for path in (missing, file, full):
        status, error = _told(idle, idle.url, str(path))
        assert status == 78
        assert str(path) in str(error["message"])
        kinds.append(error["kind"])
    assert kinds == ["mountpoint-missing", "mountpoint-no-folder", "mountpoint-not-empty"]


def test_a_mount_point_in_use_is_refused_and_the_mount_goes_on(mount: Mount) -> None:
    status, error = _told(mount, mount.url, str(mount.path))
    assert (status, error["kind"]) == (1, "already-mounted")
    assert str(mount.pid) in str(error["message"])
    assert list(mount.path.iterdir()) == []


def test_a_cache_directory_has_one_mount_at_a_time(mount: Mount, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    words = (mount.url, str(other), "--daemon", "--cache-dir", str(mount.cache_dir))
    status, error = _told(mount, *words)
    assert (status, error["kind"]) == (1, "cache-in-use")
    assert str(mount.pid) in str(error["message"])
    assert str(mount.cache_dir) in str(error["message"])


def test_daemon_status_sync_and_unmount(idle: Mount, server: ServerProcess) -> None:
    started = idle.command(
        *("mount", idle.url, str(idle.path), "--daemon", "--cache-dir", str(idle.cache_dir), "--json")
    )
    assert started.returncode == 0, started.stderr
    facts = json.loads(started.stdout)
    (idle.path / "here.txt").write_text("from here")
    idle.sync()
    assert (server.root / "here.txt").read_text() == "from here"

    status = json.loads(idle.command("status", str(idle.path), "--json").stdout)
    assert (status["pid"], status["connection"], status["queue_pending"]) == (facts["pid"], "online", 0)
    assert json.loads(idle.command("queue", "--json").stdout) == {"changes": []}

    left = idle.command("unmount", str(idle.path), "--json")
    assert left.returncode == 0, left.stderr
    assert json.loads(left.stdout)["pending"] == 0
    assert table.mounted_at(str(idle.path)) is None
    assert not is_alive(facts["pid"])
    assert "not-mounted" in idle.command("unmount", str(idle.path), "--json").stdout


def test_the_daemon_shows_its_token_to_nobody(idle: Mount) -> None:
    idle.environment["ANCHORFS_PASSWORD"] = "a s3cret"
    started = idle.command("mount", idle.url, str(idle.path), "--daemon", "--log-level", "debug", "--json")
    assert started.returncode == 0, started.stderr
    facts = json.loads(started.stdout)
    token = idle.environment["ANCHORFS_TOKEN"].encode()
    process, log = facts["pid"], facts["log_file"]
    try:
        with open(f"/proc/{process}/cmdline", "rb") as words, open(f"/proc/{process}/environ", "rb") as names:  # noqa: PTH123
            shown = words.read() + names.read()
        assert token not in shown
        assert b"a s3cret" not in shown
        with open(log, "rb") as lines:  # noqa: PTH123
            assert token not in lines.read()
        assert os.stat(log).st_mode & 0o077 == 0  # noqa: PTH116
    finally:
        assert idle.command("unmount", str(idle.path)).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_flushes_and_unmounts(mount: Mount, server: ServerProcess, number: signal.Signals) -> None:
    (mount.path / "last.txt").write_text("the last word")
    assert mount.stop(number) == 0
    assert table.mounted_at(str(mount.path)) is None
    assert (server.root / "last.txt").read_text() == "the last word"


def test_unmounting_from_outside_flushes_and_ends_the_process(mount: Mount, server: ServerProcess) -> None:
    (mount.path / "last.txt").write_text("the last word")
    subprocess.run(["fusermount3", "-u", str(mount.path)], check=True, timeout=DEADLINE_S)
    assert mount.process is not None
    assert mount.process.wait(DEADLINE_S) == 0
    assert (server.root / "last.txt").read_text() == "the last word"


def test_what_could_not_be_sent_is_said_kept_and_sent_at_the_next_mount(
    new_mount: NewMount, server: ServerProcess
) -> None:
    mount = new_mount("mnt", "-o", "flush_timeout=5")
    (mount.path / "first.txt").write_text("seen")
    mount.sync()
    server.stop()
    (mount.path / "offline.txt").write_text("written without a server")
    assert mount.stop() == 75
    assert str(mount.cache_dir) in mount.log()
    server.start()
    mount.url = server.url
    mount.remount()
    mount.sync()
    assert (server.root / "offline.txt").read_text() == "written without a server"


def test_unmount_refuses_while_in_use_names_the_process_and_the_mount_goes_on(mount: Mount) -> None:
    (mount.path / "held").write_text("x")
    with (mount.path / "held").open() as held:
        done = mount.command("unmount", str(mount.path), "--json")
        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["kind"]) == (1, "busy")
        assert f"({os.getpid()})" in error["hint"]
        assert held.read() == "x"
        (mount.path / "more").write_text("y")
    assert mount.command("unmount", str(mount.path)).returncode == 0


def test_a_killed_mount_looks_dead_and_the_next_mount_cleans_up(mount: Mount) -> None:
    (mount.path / "kept.txt").write_text("accepted")
    mount.kill()
    with pytest.raises(OSError, match="not connected"):
        os.listdir(mount.path)  # noqa: PTH208
    status = json.loads(mount.command("status", "--json").stdout)
    assert [entry["state"] for entry in status["mounts"] if entry["mountpoint"] == str(mount.path)] == ["dead"]
    mount.remount()
    assert "cleaned up" in mount.log()
    assert (mount.path / "kept.txt").read_text() == "accepted"


def test_unmount_takes_a_dead_mount_away(mount: Mount) -> None:
    mount.kill()
    assert mount.command("unmount", str(mount.path)).returncode == 0
    assert os.listdir(mount.path) == []  # noqa: PTH208


def test_doctor_takes_a_dead_mount_away(mount: Mount) -> None:
    (mount.path / "kept.txt").write_text("accepted")
    mount.kill()
    assert f"{mount.path}: its process died; the dead mount is taken away" in mount.command("doctor").stdout
    assert os.listdir(mount.path) == []  # noqa: PTH208
    mount.remount()
    assert (mount.path / "kept.txt").read_text() == "accepted"


def test_unmount_of_a_mount_from_another_environment_does_not_call_it_dead(mount: Mount, tmp_path: Path) -> None:
    (mount.path / "kept.txt").write_text("accepted")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    words = [sys.executable, "-m", "vfs.cli", "unmount", str(mount.path), "--json"]
    told = subprocess.run(
        words, env={**mount.environment, "XDG_RUNTIME_DIR": str(elsewhere)}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(told.stdout) == {"mountpoint": str(mount.path), "dead": False}
    until(lambda: mount.process is None or mount.process.poll() == 0, "its process to end, with everything sent")
    mount.remount()
    assert (mount.path / "kept.txt").read_text() == "accepted"


def test_evict_gives_room_back_and_hydrate_fetches(mount: Mount) -> None:
    path = mount.path / "big.bin"
    path.write_bytes(os.urandom(1 << 20))
    mount.sync()
    evicted = json.loads(mount.command("evict", str(path), "--json").stdout)
    assert evicted["results"][0]["freed_bytes"] >= 1 << 20
    until(lambda: path.stat().st_blocks == 0, "the eviction to show in st_blocks")
    assert mount.command("hydrate", str(path)).returncode == 0
    until(lambda: path.stat().st_blocks * 512 >= 1 << 20, "the hydration to show in st_blocks")
    elsewhere = mount.command("hydrate", "/etc/hostname", "--json")
    assert elsewhere.returncode == 1
    assert json.loads(elsewhere.stdout)["results"][0]["error"]["kind"] == "not-mounted"


def _run(idle: Mount, *words: str) -> subprocess.CompletedProcess[str]:
    return idle.command("run", idle.url, "--cache-dir", str(idle.cache_dir), "--", *words)


def test_run_gives_the_command_a_mount_and_its_status_back(idle: Mount, server: ServerProcess) -> None:
    idle.environment["ANCHORFS_PASSWORD"] = "s3cret"
    told = "${ANCHORFS_TOKEN-none} ${ANCHORFS_PASSWORD-none}"
    done = _run(idle, "sh", "-c", f"pwd; echo made > made.txt; cat made.txt; echo {told}; exit 3")
    assert done.returncode == 3, done.stderr
    folder, content, *secrets = done.stdout.split()
    assert (content, secrets) == ("made", ["none", "none"])
    assert (server.root / "made.txt").read_text() == "made\n"
    assert not os.path.exists(folder)  # noqa: PTH110


def test_a_folder_of_our_name_where_the_user_is_is_not_run(idle: Mount, tmp_path: Path) -> None:
    (tmp_path / "vfs").mkdir()
    (tmp_path / "vfs/__init__.py").write_text("raise SystemExit('another program was run')")
    words = ["mount", idle.url, str(idle.path), "--daemon", "--cache-dir", str(idle.cache_dir)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vfs.cli", *words], cwd=tmp_path, env=idle.environment, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert idle.command("unmount", str(idle.path)).returncode == 0


def test_run_tells_how_it_ended_apart_from_what_the_command_prints(idle: Mount) -> None:
    words = ("run", idle.url, "--json", "--cache-dir", str(idle.cache_dir), "--", "sh", "-c", "echo said; exit 4")
    done = idle.command(*words)
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_status"], told["command_status"], told["pending"]) == (4, 4, 4, 0)
    assert told.keys() == members("run")[0]
    assert "said" in done.stderr


def test_run_is_75_when_changes_could_not_be_sent_and_the_next_run_sends_them(
    idle: Mount, server: ServerProcess
) -> None:
    assert _run(idle, "true").returncode == 0
    script = f"ls; kill -9 {server.pid}; echo kept > kept.txt"
    done = _run(idle, "sh", "-c", script)
    assert done.returncode == 75, done.stderr
    assert str(idle.cache_dir) in done.stderr
    server.restart()
    idle.url = server.url
    assert _run(idle, "true").returncode == 0
    assert (server.root / "kept.txt").read_text() == "kept\n"


def test_run_of_no_command_is_127_and_leaves_nothing_mounted(idle: Mount) -> None:
    before = {entry.path for entry in table.mounts()}
    assert _run(idle, "no-such-command").returncode == 127
    assert {entry.path for entry in table.mounts()} - before == set()


def test_run_hands_signals_on_and_still_flushes(idle: Mount, server: ServerProcess) -> None:
    words = [*idle._program(), "run", idle.url, "--cache-dir", str(idle.cache_dir), "--"]
    script = "trap 'echo stopped > stopped.txt; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [*words, "sh", "-c", script], env=idle.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.terminate()
        assert running.wait(DEADLINE_S) == 7
    assert (server.root / "stopped.txt").read_text() == "stopped\n"


def test_a_mount_whose_run_was_killed_leaves_by_itself(idle: Mount, server: ServerProcess) -> None:
    words = [*idle._program(), "run", idle.url, "--cache-dir", str(idle.cache_dir), "--"]
    script = "echo last > last.txt; pwd; read _"
    with subprocess.Popen(
        [*words, "sh", "-c", script], env=idle.environment, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        folder = running.stdout.readline().decode().strip()
        assert folder
        running.kill()
        running.wait(DEADLINE_S)
    until(lambda: table.mounted_at(folder) is None, "the orphaned mount to leave")
    until((server.root / "last.txt").exists, "its last change to be sent")
    os.rmdir(folder)  # noqa: PTH106


def test_a_read_only_mount_says_so(new_mount: NewMount) -> None:
    mount = new_mount("readonly", "--read-only")
    with pytest.raises(OSError, match="Read-only"):
        (mount.path / "x").write_text("x")


def test_the_state_and_socket_are_closed_to_others(mount: Mount) -> None:
    run = mount.path.parent / "mnt.run" / "anchorfs"
    assert run.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in run.iterdir()} == {0}
    assert mount.cache_dir.stat().st_mode & 0o077 == 0


def test_doctor_finds_a_living_mount_well(mount: Mount) -> None:
    texts: list[str] = []

    def is_well() -> bool:
        done = mount.command("doctor", "--json")
        report = json.loads(done.stdout)
        texts[:] = [finding["text"] for finding in report["findings"]]
        return (done.returncode, report["ok"]) == (0, True)

    until(is_well, "all to be well")  # a mount that does not answer for 3 s is not
    assert any(str(mount.path) in text for text in texts)


def test_fsck_finds_a_used_drive_well_and_refuses_a_mounted_one(mount: Mount) -> None:
    (mount.path / "file").write_text("x")
    mount.sync()
    for drive in (mount.cache_dir, mount.path, mount.path / "file"):
        busy = mount.command("fsck", str(drive), "--json")
        assert json.loads(busy.stdout)["error"]["kind"] == "cache-in-use"
    assert mount.stop() == 0
    for drive in (mount.cache_dir, mount.path):  # which was told its own --cache-dir, and is not mounted any more
        done = mount.command("fsck", str(drive), "--deep", "--json")
        assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, [])
    kept = mount.command("cache", "inspect", str(mount.path), "--json")
    assert json.loads(kept.stdout)["folder"] == str(mount.cache_dir)
    nothing = mount.command("fsck", str(mount.path.parent), "--json")
    assert (nothing.returncode, json.loads(nothing.stdout)["error"]["kind"]) == (78, "state-unusable")
