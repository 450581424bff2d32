"""notify_push: a websocket that says `notify_file` whenever something changed; never what."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    import socket
    from email.message import Message

    from wsproto.events import Event

    from tests.fakes.nextcloud.account import Account
    from tests.fakes.nextcloud.accounts import SignIn

_GONE = (OSError, LocalProtocolError)  # the client went away, or has said that it is about to


def serve_push(connection: socket.socket, headers: Message, account: Account, sign_in: SignIn) -> None:
    """Answer a handshake that was read already, hear two messages (user, password), and tell changes until it ends."""
    ws = WSConnection(ConnectionType.SERVER)
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    ws.initiate_upgrade_connection(told, "/push/ws")
    assert any(isinstance(event, Request) for event in ws.events())
    connection.sendall(ws.send(AcceptConnection()))
    said = _Said(connection, ws)
    user, password = said.text(), said.text()
    if user is None or password is None:
        return
    if not sign_in.knows(user, password):
        connection.sendall(ws.send(TextMessage(data="err: Invalid credentials")))
        connection.sendall(ws.send(CloseConnection(code=1000)))
        return
    changed, lock = threading.Event(), threading.Lock()
    account.listeners.append(changed)
    connection.sendall(ws.send(TextMessage(data="authenticated")))
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(connection, ws, changed, ended, lock), daemon=True)
    teller.start()
    with suppress(*_GONE):
        while said.text(lock) is not None:
            continue
    account.listeners.remove(changed)
    ended.set()
    changed.set()
    teller.join(5)


def _tell(
    connection: socket.socket, ws: WSConnection, changed: threading.Event, ended: threading.Event, lock: threading.Lock
) -> None:
    while changed.wait() and not ended.is_set():
        changed.clear()
        with suppress(*_GONE), lock:
            connection.sendall(ws.send(TextMessage(data="notify_file")))


class _Said:
    """Messages of the client, in order."""

    def __init__(self, connection: socket.socket, ws: WSConnection) -> None:
        self._connection, self._ws = connection, ws
        self._waiting: list[Event] = []

    def text(self, lock: threading.Lock | None = None) -> str | None:
        """The next text; None when the client is gone."""
        while True:
            while self._waiting:
                event = self._waiting.pop(0)
                if isinstance(event, TextMessage):
                    return str(event.data)
                if isinstance(event, CloseConnection):
                    return None
                if isinstance(event, Ping):
                    with lock or threading.Lock():
                        self._connection.sendall(self._ws.send(event.response()))
            data = self._connection.recv(65536)
            self._ws.receive_data(data or None)
            self._waiting += list(self._ws.events())
