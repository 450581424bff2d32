"""The manual page, shell completion, and help: all from the same source."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from vfs.cli.app import COMMANDS, make_app
from vfs.cli.manual import page
from vfs.config import ConfigError
from vfs.mount_options import MEANINGS, parse_words

app = make_app()


def names(group: object, above: str = "anchorfs") -> list[str]:
    """Every command with the words that lead to it."""
    found = []
    for word, command in group.commands.items():  # type: ignore[attr-defined]
        path = f"{above} {word}"
        found += names(command, path) if hasattr(command, "commands") else [path]
    return found


def test_every_command_is_in_the_manual_and_has_help() -> None:
    text = "\n".join(page(app))
    commands = names(get_command(app))
    assert len(commands) > 35
    for command in commands:
        assert f".SS {command}" in text
        told = CliRunner().invoke(app, [*command.split()[1:], "--help"])
        assert (told.exit_code, "Usage:" in told.output) == (0, True)
    assert "cache\\-size" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_loaded_alone_is_the_same(name: str) -> None:
    alone = get_command(make_app(name))
    assert list(alone.commands) == [name]  # type: ignore[attr-defined]
    whole = get_command(app).commands[name]  # type: ignore[attr-defined]
    found = alone.commands[name]  # type: ignore[attr-defined]
    assert [each.name for each in found.params] == [each.name for each in whole.params]


def test_a_mount_does_not_wait_for_what_other_commands_need() -> None:
    program = "import sys; from vfs.cli.app import make_app; make_app('mount'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "vfs.cli.mount" in loaded
    assert not loaded & {"vfs.cli.doctor", "vfs.cli.accounts", "prometheus_client", "tarfile", "httpx", "pyfuse3"}


@pytest.mark.parametrize("name", ["status", "ls", "queue", "pin", "approve", "activity", "search", "top"])
def test_who_only_asks_a_mount_loads_no_engine(name: str) -> None:
    program = f"import sys; from vfs.cli.app import make_app; make_app('{name}'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"trio", "httpx", "httpcore", "sqlite3", "pyfuse3", "sync.engine"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff: not installed: groff-base")
def test_the_manual_is_well_formed() -> None:
    words = ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou"]
    done = subprocess.run(words, input="\n".join(page(app)) + "\n", capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "anchorfs restore [path]" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell: str) -> None:
    told = CliRunner().invoke(app, [], env={"_ANCHORFS_COMPLETE": f"source_{shell}"}, prog_name="anchorfs")
    assert "_ANCHORFS_COMPLETE" in told.output


def test_every_mount_option_is_told_and_every_told_one_is_taken() -> None:
    for option in MEANINGS:
        assert parse_words([option.replace("FILE", "/f").replace("DIR", "/d")]), option
    with pytest.raises(ConfigError, match="AnchorFS knows") as caught:
        parse_words(["quux"])
    known = str(caught.value).partition("AnchorFS knows ")[2].split(", ")
    assert {each.rstrip("=") for each in known} - {"rw"} == {each.partition("=")[0] for each in MEANINGS} - {"noexec"}
    assert "\\fBconflicts=copy\\fR" in "\n".join(page(app))
