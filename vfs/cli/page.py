"""`ui`: the mounts in a web browser on this machine."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.failure import ExitStatus


@reporting
def ui(
    *,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> int:
    """Show and steer the mounts in a web browser, until Ctrl-C. The address that is printed lets one visitor in."""
    from vfs.ui.page import serve  # noqa: PLC0415 - a web server is loaded where a page is served only

    def ready(address: str) -> None:
        if as_json:
            print_json({"url": address})
        else:
            out.print(f"open {escape(address)} (works once; Ctrl-C ends the page, not the mounts)")
            out.file.flush()
        if browser:
            webbrowser.open(address)

    serve(port, ready)
    return ExitStatus.DONE
