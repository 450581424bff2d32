"""The file of pins: what is said stays said, whatever happens to it or to the catalog."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.pinfile import PinFile, PinRule, PinState, _parsed

if TYPE_CHECKING:
    from pathlib import Path

OLD = [PinRule(state=PinState.PINNED, item_id="a", ino=2, path="/Docs")]
NEW = [*OLD, PinRule(state=PinState.EXCLUDED, item_id=None, ino=3, path="/Docs/raw\nnot a line")]


def test_what_was_stored_is_loaded(tmp_path: Path) -> None:
    file = PinFile(tmp_path)
    assert file.load() == ("", [])
    file.store("catalog", OLD)
    file.store("catalog", NEW)
    assert PinFile(tmp_path).load() == ("catalog", NEW)
    assert (tmp_path / "pins").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pins", "pins.before"]


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = PinFile(tmp_path)
    file.store("catalog", OLD)
    file.store("catalog", NEW)
    damaged = bytearray((tmp_path / "pins").read_bytes())
    damaged[-3] ^= 1
    (tmp_path / "pins").write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        assert file.load() == ("catalog", OLD)
    assert "damaged" in caplog.text
    assert (tmp_path / "pins.damaged").read_bytes() == bytes(damaged)
    file.store("catalog", NEW)
    assert file.load() == ("catalog", NEW)


def test_both_damaged_is_no_pins_and_no_crash(tmp_path: Path) -> None:
    file = PinFile(tmp_path)
    file.store("catalog", OLD)
    file.store("catalog", NEW)
    for name in ("pins", "pins.before"):
        (tmp_path / name).write_bytes(b"\0" * 100)
    assert file.load() == ("", [])


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = PinFile(tmp_path)
    file.store("catalog", OLD)

    def full(_fd: int) -> None:
        raise OSError(28, "no room")

    monkeypatch.setattr("cache.pinfile.os.fsync", full)
    with pytest.raises(OSError, match="no room"):
        file.store("catalog", NEW)
    assert file.load() == ("catalog", OLD)


@given(st.data())
def test_no_flipped_bit_and_no_cut_is_believed(data: st.DataObject) -> None:
    import tempfile  # noqa: PLC0415  # hypothesis runs the body often: a folder for each
    from pathlib import Path  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        PinFile(Path(name)).store("catalog", NEW)
        whole = (Path(name) / "pins").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (bytes(flipped), whole[:at]):
        with pytest.raises(ValueError, match=r".*"):
            _parsed(broken)
