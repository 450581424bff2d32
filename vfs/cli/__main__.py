"""`python -m vfs.cli`: the same as the command `anchorfs`."""

from vfs.cli.app import main

main()
