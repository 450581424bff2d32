"""`manual`: the page anchorfs(1), made of what `--help` tells, in the language of man(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.main import get_command

from vfs.cli.printing import out, reporting
from vfs.failure import ExitStatus
from vfs.mount_options import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

_STATUSES = {
    0: "done",
    1: "failed",
    2: "the command line is wrong",
    75: "try again later: the server cannot be reached, or changes are still pending",
    77: "not permitted",
    78: "the configuration is wrong",
}
_FILES = {
    "~/.config/anchorfs/config.toml": "mounts by name, and options for all of them",
    "~/.config/anchorfs/hydration.rules": "which programs may fetch",
    "~/.local/state/anchorfs/drives": "the cache, and changes that are not sent yet",
    "~/.local/state/anchorfs/log": "logs of mounts in the background",
}


@reporting
def manual() -> int:
    """Print the manual page; to read it: anchorfs manual | man -l -"""
    from vfs.cli.app import make_app  # noqa: PLC0415 - the commands, of which this is one

    out.file.write("".join(f"{line}\n" for line in page(make_app())))
    return ExitStatus.DONE


def page(app: typer.Typer) -> Iterator[str]:
    """Lines of roff."""
    top = get_command(app)
    yield '.TH ANCHORFS 1 "" "AnchorFS" "User Commands"'
    yield from (".SH NAME", rf"anchorfs \- {_text(top.help)}")
    yield from (".SH SYNOPSIS", r"\fBanchorfs\fR \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]")
    yield ".SH COMMANDS"
    yield from _commands(top, "anchorfs")
    yield ".SH MOUNT OPTIONS"
    for option, meaning in MEANINGS.items():
        yield from (".TP", f"\\fB{_text(option)}\\fR", _text(meaning))
    yield ".SH EXIT STATUS"
    for status, meaning in _STATUSES.items():
        yield from (".TP", f"\\fB{status}\\fR", _text(meaning))
    yield ".SH FILES"
    for path, meaning in _FILES.items():
        yield from (".TP", f"\\fI{_text(path)}\\fR", _text(meaning))
    yield from (".SH SEE ALSO", r"\fBfusermount3\fR(1), \fBmount\fR(8), \fBfuse\fR(4)")


def _commands(group: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - typer's own types are not public
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {word}")
            continue
        options = [each for each in command.params if each.param_type_name == "option"]
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        places = " ".join(_place(each) for each in arguments)
        yield from (f".SS {_text(f'{name} {word}')} {places}".rstrip(), _text(command.help))
        for each in [*arguments, *options]:
            yield from (".TP", _label(each), _text(each.help) or _text(each.name))


def _place(argument: Any) -> str:  # noqa: ANN401
    name = f"\\fI{_text(argument.metavar or argument.name)}\\fR{'...' if argument.nargs == -1 else ''}"
    return name if argument.required else f"[{name}]"


def _label(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return _place(parameter)
    names = ", ".join(f"\\fB{_text(each)}\\fR" for each in [*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} \\fI{_text(parameter.metavar or parameter.name.upper())}\\fR"


def _text(text: str | None) -> str:
    """As roff takes it literally: no escape, no hyphen that is broken at, no line that looks like a request."""
    escaped = " ".join((text or "").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
