"""From an address to its remote: the one place that knows which adapters there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sync.remote import Remote
from sync.remotes.address import Address, Provider, parse_address

if TYPE_CHECKING:
    from pathlib import Path

    from sync.archive import Archive

STORED_TREE = "remote.db"


class Direct(Remote, Protocol):
    """A remote without decorators, with what a mount asks of it beside the engine."""

    @property
    def archive(self) -> Archive:
        """What it keeps beside the tree as it is."""
        ...

    async def keep_spare(self) -> None:
        """Have connections open for who comes next, until cancelled."""
        ...

    async def renew(self, *, drop: bool) -> None:
        """This machine's network is another one: open new connections, and drop those that cannot live."""
        ...


def connect(text: str, secret: str | None, state: Path | None, *, unsafe: bool = False) -> Direct:
    """The remote at an address; nothing is sent yet. ValueError for an address or a secret that cannot be.

    `secret`: a token, or the password of the user in the address. `state`: the folder of what an adapter has to
    remember; None: it is forgotten with the process. `unsafe`: write also where a server compares nothing.
    """
    address = parse_address(text)
    if address.provider is Provider.DAV:
        return _dav(address, secret, state, unsafe=unsafe)
    if address.provider is Provider.NEXTCLOUD:
        return _nextcloud(address, secret, state)
    from sync.remotes.anchor import AnchorRemote  # noqa: PLC0415 - an adapter is loaded where it is used only

    return AnchorRemote(address.url, secret)


def _dav(address: Address, secret: str | None, state: Path | None, *, unsafe: bool) -> Direct:
    from sync.remotes.dav.exchange import DavExchange  # noqa: PLC0415 - as above
    from sync.remotes.dav.mirror import Mirror  # noqa: PLC0415
    from sync.remotes.dav.remote import DavRemote  # noqa: PLC0415
    from sync.remotes.dav.signing import Basic, Bearer  # noqa: PLC0415

    credential = None if secret is None else Bearer(secret) if address.user is None else Basic(address.user, secret)
    exchange = DavExchange(address.url, credential)
    return DavRemote(exchange, Mirror(None if state is None else state / STORED_TREE), unsafe=unsafe)


def _nextcloud(address: Address, secret: str | None, state: Path | None) -> Direct:
    from sync.remotes.nextcloud import NextcloudRemote  # noqa: PLC0415 - as above

    if address.user is None:
        raise ValueError(
            f"{address.text} names no user; `anchorfs login {address.text}` signs in and tells the address to mount"
        )
    return NextcloudRemote(address.url, address.user, secret or "", state=state)
