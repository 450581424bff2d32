"""Pins, whole trees, and the cache, on a real mount: what people and scripts are told."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute
from tests.harness.mount import Mount, MountFailedError
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse

SIZE = 20_000
NAMES = [f"f{number}" for number in range(30)]


@pytest.fixture
def mount(lonely: Drive) -> Mount:
    """/docs/{f0…f29}, /docs/sub/deep and /other, none of it here."""
    docs = lonely.served / "docs"
    (docs / "sub").mkdir(parents=True)
    for name in NAMES:
        (docs / name).write_bytes(name.encode() * (SIZE // len(name)))
    (docs / "sub" / "deep").write_bytes(b"deep" * SIZE)
    (lonely.served / "other").write_bytes(b"other" * SIZE)
    lonely.server.scan()
    return lonely.mount("one")


def state(path: Path) -> str:
    return attribute(path, "state")


def told(mount: Mount, *words: str, status: int = 0) -> dict[str, object]:
    """What a command says in JSON."""
    done = mount.command(*words, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_pinned_folder_comes_follows_stays_and_survives(lonely: Drive, mount: Mount) -> None:
    """[S2.5] What is pinned is brought behind your back, follows the server, and is never evicted. [S2.6]"""
    docs, other = mount.path / "docs", mount.path / "other"
    subprocess.run(["setfattr", "-n", "user.anchorfs.pin", "-v", "pinned", docs], check=True, timeout=DEADLINE_S)
    assert attribute(docs, "pin") == "pinned"
    assert attribute(docs / "sub" / "deep", "pin") == "inherit"
    until(lambda: {state(docs / name) for name in NAMES} == {"local"}, "the pinned files")
    until(lambda: state(docs / "sub" / "deep") == "local", "the file below a folder below")
    assert state(other) == "online-only"

    far = lonely.mount("two")
    (far.path / "docs" / "new").write_bytes(b"new" * SIZE)
    (far.path / "docs" / "f0").write_bytes(b"changed" * SIZE)
    far.sync()
    until(lambda: state(docs / "new") == "local", "a new file to be brought")
    until(lambda: state(docs / "f0") == "local" and (docs / "f0").stat().st_size == 7 * SIZE, "the new version")

    refused = told(mount, "evict", str(docs / "f1"), status=1)
    assert "pinned" in str(refused)
    assert mount.command("pin", str(other)).returncode == 0
    assert mount.stop() == 0, mount.log()
    mount.start()
    until(lambda: state(other) == "local", "the pin to be known after a remount")
    rules = told(mount, "pins")["rules"]
    assert [(rule["pin"], rule["path"]) for rule in rules] == [("pinned", "/docs"), ("pinned", "/other")]  # type: ignore[attr-defined]

    assert "stays pinned" in mount.command("unpin", str(docs / "sub")).stdout
    assert mount.command("unpin", "--exclude", str(docs / "sub")).returncode == 0
    assert mount.command("evict", str(docs / "sub")).returncode == 0
    assert state(docs / "sub" / "deep") == "online-only"
    assert mount.command("unpin", "--free", str(other)).returncode == 0
    until(lambda: state(other) == "online-only", "the unpinned file to go")
    status = mount.command("status", str(mount.path))
    assert "pins" in status.stdout


def test_whole_trees_are_brought_and_given_back(mount: Mount) -> None:
    """[S2.4] `anchorfs evict` … says what it left and why. [S2.7] `anchorfs hydrate` …"""
    docs = mount.path / "docs"
    (result,) = told(mount, "hydrate", str(docs))["results"]  # type: ignore[misc]
    assert (result["files"], result["left_files"]) == (len(NAMES) + 1, 0)
    assert {state(docs / name) for name in NAMES} == {"local"}
    done = mount.command("hydrate", str(docs))
    assert "all is here" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr  # no bar where there is no terminal

    (docs / "mine").write_bytes(b"not sent")
    with (docs / "f3").open("rb") as held, (docs / "mine").open("ab") as writing:
        writing.write(b"!")
        writing.flush()
        assert held.read(1)
        (result,) = told(mount, "evict", str(docs), status=1)["results"]  # type: ignore[misc]
        reasons = {each["path"].rpartition("/")[2]: each["why"] for each in result["left"]}
        assert set(reasons) == {"f3", "mine"}
        assert "open" in reasons["f3"]
        assert result["files"] == len(NAMES)
    assert state(docs / "f4") == "online-only"
    until(lambda: (docs / "f4").stat().st_blocks == 0, "the eviction to show in st_blocks")


def test_a_tree_that_does_not_fit_is_refused_before_it_is_fetched(lonely: Drive, mount: Mount) -> None:
    small = lonely.mount("small", "-o", "cache_size=200K,free_space=0")
    done = small.command("hydrate", str(small.path / "docs"), "--json")
    assert done.returncode == 1
    assert "room for" in str(json.loads(done.stdout))
    assert json.loads(small.command("status", str(small.path), "--json").stdout)["bytes_down"] == 0
    assert small.command("hydrate", str(small.path / "other")).returncode == 0
    assert mount.path.is_dir()


def test_the_cache_is_looked_at_and_cleared_mounted_or_not(mount: Mount) -> None:
    docs = mount.path / "docs"
    (docs / "sub" / "deep").write_bytes(b"deep" * SIZE)  # the server has hashed what it was sent
    mount.sync()
    assert mount.command("hydrate", str(docs), str(mount.path / "other")).returncode == 0
    found = told(mount, "cache", "inspect", str(mount.path), "--verify")
    until(lambda: told(mount, "cache", "inspect", str(mount.path))["whole_files"] == len(NAMES) + 2, "the catalog")
    assert found["damaged"] == []
    assert found["mountpoint"] == str(mount.path)
    assert mount.command("pin", str(docs / "sub")).returncode == 0
    cleared = told(mount, "cache", "clear", str(mount.path))
    assert cleared["left_files"] == 1
    assert state(docs / "f0") == "online-only"
    assert (docs / "f0").read_bytes().startswith(b"f0f0")
    mount.kill()
    cleared = told(mount, "cache", "clear", str(mount.cache_dir))
    assert [each["why"] for each in cleared["left"]] == ["pinned"]  # type: ignore[attr-defined]

    blobs = [path for path in (mount.cache_dir / "blobs").rglob("*") if path.is_file()]
    deep = next(path for path in blobs if path.read_bytes().startswith(b"deepdeep"))
    data = bytearray(deep.read_bytes())
    data[1000] ^= 1
    deep.write_bytes(data)
    found = told(mount, "cache", "inspect", str(mount.cache_dir), "--verify", status=1)
    assert found["damaged"] == ["/docs/sub/deep"]
    assert mount.command("fsck", str(mount.cache_dir), "--deep").returncode == 1
    assert mount.command("unpin", str(docs)).returncode != 0  # not mounted
    mount.start()
    assert state(docs / "f0") == "online-only"
    refused = mount.command("cache", "inspect", str(mount.path.parent))
    assert refused.returncode == 78
    assert "no drive is kept there" in refused.stderr


def test_unsent_changes_survive_a_cleared_cache(lonely: Drive, mount: Mount) -> None:
    lonely.server.stop()
    mount.expect_warning(".*")
    (mount.path / "unsent").write_bytes(b"mine alone")
    mount.kill()
    cleared = told(mount, "cache", "clear", str(mount.cache_dir))
    assert [each["why"] for each in cleared["left"]] == ["not on the server yet"]  # type: ignore[attr-defined]
    lonely.server.start()
    mount.start()
    assert (mount.path / "unsent").read_bytes() == b"mine alone"
    mount.sync()
    assert (lonely.served / "unsent").read_bytes() == b"mine alone"


def test_two_mounts_never_share_one_cache(lonely: Drive, mount: Mount) -> None:
    """[S2.8] Two mounts never share one cache directory; the second is refused with a word that names the first."""
    with pytest.raises(MountFailedError, match=f"in use by process {mount.pid}"):
        lonely.mount("second", "--cache-dir", str(mount.cache_dir))
    refused = mount.command("cache", "clear", str(mount.cache_dir))
    assert refused.returncode == 0  # it is mounted: the mount does it


def test_programs_that_look_into_every_file_fetch_nothing(lonely: Drive, mount: Mount, tmp_path: Path) -> None:
    """[S2.9] Rules keep programs that look into every file … from bringing the drive here …"""
    cat = shutil.which("cat")
    assert cat is not None
    thumbnailer, backup = tmp_path / "tumblerd", tmp_path / "backup"
    for copy in (thumbnailer, backup):
        shutil.copy(cat, copy)
    rules = tmp_path / "rules"
    rules.write_text(f"held {backup}  # by its path\n")
    ruled = lonely.mount("ruled", "-o", f"hydration_rules={rules},hydration=partial")
    here, away = ruled.path / "docs" / "f1", ruled.path / "docs" / "f2"
    whole = here.read_bytes()

    def run(program: Path, path: Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, path], capture_output=True, check=False, timeout=DEADLINE_S)

    assert run(thumbnailer, here).stdout == whole
    refused = run(thumbnailer, away)
    assert (refused.returncode, b"not permitted" in refused.stderr) == (1, True)
    assert run(backup, here).stdout == whole
    refused = run(backup, away)
    assert (refused.stdout, b"not permitted" in refused.stderr) == (b"", True)
    assert state(away) == "online-only"
    counted = told(ruled, "status", str(ruled.path))["refused"]
    assert isinstance(counted, dict)
    assert counted["tumblerd"] == 1
    assert counted["backup"] >= 1  # the kernel may ask again
    assert away.read_bytes() == run(backup, away).stdout  # whoever may brings it, and then everybody reads it
    rules.write_text("perhaps cat\n")
    refused_mount = ruled.command("mount", ruled.url, str(tmp_path), "-o", f"hydration_rules={rules}")
    assert refused_mount.returncode == 78
    assert "line 1" in refused_mount.stderr
    assert mount.path.is_dir()
