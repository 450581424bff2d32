"""The command line `anchorfs`: reads arguments, asks a running mount over its control socket, prints, exits.

No command keeps state of its own. Every failure is one `Failure`: kind, words, way out, exit status.
"""

from vfs.cli.app import main

__all__ = ["main"]
