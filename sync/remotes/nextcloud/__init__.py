"""The remote of a Nextcloud account."""

from sync.remotes.nextcloud.remote import NextcloudRemote

__all__ = ["NextcloudRemote"]
