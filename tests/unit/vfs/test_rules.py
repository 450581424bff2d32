"""Which programs may fetch: rules, and who a process is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from vfs import programs
from vfs.programs import Programs, program_of
from vfs.rules import BUILT_IN, Action, Program, Rule, action_for, parse_rules


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("tumblerd", "/usr/lib/x86_64-linux-gnu/tumbler-1/tumblerd"),
        ("gnome-thumbnail", "/usr/libexec/gnome-thumbnail-font"),
        ("evince-thumbnai", "/usr/bin/evince-thumbnailer"),
        ("tracker-miner-f", "/usr/libexec/tracker-miner-fs-3"),
        ("localsearch-3", "/usr/libexec/localsearch-3"),
        ("baloo_file_extr", "/usr/bin/baloo_file_extractor"),
        ("updatedb.plocat", ""),  # root's: its executable is not told
    ],
)
def test_who_looks_into_everything_is_built_in(name: str, path: str) -> None:
    assert action_for(BUILT_IN, Program(name, path)) is Action.DENY


@pytest.mark.parametrize("path", ["/usr/bin/cat", "/usr/bin/rsync", "/usr/bin/nautilus", "/usr/bin/git"])
def test_others_may_fetch(path: str) -> None:
    assert action_for(BUILT_IN, Program(path.rpartition("/")[2], path)) is Action.ALLOW


def test_the_first_that_fits_counts() -> None:
    text = "# mine\nallow /opt/*/tumblerd\n\nheld restic # backups\ndeny a-name-longer-than-comm\n"
    rules = (*parse_rules(text, "f"), *BUILT_IN)
    assert rules[:2] == (Rule(Action.ALLOW, "/opt/*/tumblerd"), Rule(Action.HELD, "restic"))
    assert action_for(rules, Program("tumblerd", "/opt/mine/tumblerd")) is Action.ALLOW
    assert action_for(rules, Program("tumblerd", "/usr/lib/tumblerd")) is Action.DENY
    assert action_for(rules, Program("restic", "/usr/bin/restic")) is Action.HELD
    assert action_for(rules, Program("a-name-longer-t", "")) is Action.DENY
    assert action_for((*parse_rules("allow *", "f"), *BUILT_IN), Program("tumblerd", "")) is Action.ALLOW


@pytest.mark.parametrize("line", ["deny", "perhaps cat", "deny:cat"])
def test_a_line_that_is_no_rule_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="f, line 2"):
        parse_rules(f"held x\n{line}\n", "f")


def test_a_thread_is_its_process() -> None:
    found: list[Program] = []
    thread = threading.Thread(target=lambda: found.append(program_of(threading.get_native_id())))
    thread.start()
    thread.join()
    assert found == [program_of(os.getpid())]
    assert found[0].path == str(Path("/proc/self/exe").readlink())


async def test_a_number_that_is_used_again_is_another_process(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = {"started": "1", "name": "tumblerd"}
    monkeypatch.setattr(programs, "_started", lambda _pid: process["started"])
    monkeypatch.setattr(programs, "program_of", lambda _pid: Program(process["name"], ""))
    known = Programs(BUILT_IN)
    assert known.action(7) is Action.DENY
    assert known.refuse(7) == "tumblerd"
    process["name"] = "cat"
    await trio.sleep(2)
    assert known.action(7) is Action.DENY  # the same process, whatever it calls itself now
    process["started"] = "2"
    await trio.sleep(2)
    assert known.action(7) is Action.ALLOW
    assert (known.action(0), dict(known.refused)) == (Action.ALLOW, {"tumblerd": 1})
    assert isinstance(autojump_clock, MockClock)


async def test_programs_are_counted_by_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they call themselves, and when they are gone before they are looked at."""
    monkeypatch.setattr(programs, "_started", str)
    monkeypatch.setattr(programs, "program_of", lambda pid: Program("" if pid < 10 else f"name-{pid}", ""))
    known = Programs(BUILT_IN)
    for pid in range(1, 10 + 2 * programs.COUNTED_MAX):
        known.refuse(pid)
    assert known.refused[programs.NAMELESS] == 9
    assert len(known.refused) == programs.COUNTED_MAX + 1
    assert known.refused[programs.OTHERS] == programs.COUNTED_MAX + 1
