"""A Nextcloud account over a real socket, behaving as one on local storage was measured to behave."""

from tests.fakes.nextcloud.account import Account
from tests.fakes.nextcloud.server import FakeNextcloud

__all__ = ["Account", "FakeNextcloud"]
