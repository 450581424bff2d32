"""How a request proves who sends it. A credential travels in the Authorization header only, and is in no repr."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Protocol


class Credential(Protocol):
    """Whatever can sign a request."""

    def header(self) -> str:
        """The value of Authorization."""
        ...


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password, or an app password (RFC 7617, UTF-8); ValueError for what the scheme cannot carry."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if ":" in self.user or not (self.user + self.password).isprintable():
            raise ValueError("a user name without a colon, and no control characters, are needed")

    def header(self) -> str:
        """`Basic …`."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is sent as it is (RFC 6750); ValueError for what no header can carry."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not (self.token.isascii() and self.token.isprintable() and self.token and " " not in self.token):
            raise ValueError("the token holds characters that no header can carry")

    def header(self) -> str:
        """`Bearer …`."""
        return f"Bearer {self.token}"
