"""Text of others on a terminal."""

from __future__ import annotations

import pytest
from rich.text import Text

from vfs.cli.printing import escape


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("été, 日本, 👨‍👩‍👧", "été, 日本, 👨‍👩‍👧"),
        ("[red]marked[/]", "[red]marked[/]"),
        ("two\nlines", r"two\nlines"),
        ("\x1b]0;title\x07\x9b2J", r"\x1b]0;title\x07\x9b2J"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
    ],
)
def test_a_name_steers_no_terminal_and_makes_no_lines(name: str, shown: str) -> None:
    assert Text.from_markup(escape(name)).plain == shown
