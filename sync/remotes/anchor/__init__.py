"""The remote of our own protocol, over HTTP."""

from sync.remotes.anchor.remote import AnchorRemote

__all__ = ["AnchorRemote"]
