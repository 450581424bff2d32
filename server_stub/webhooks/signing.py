"""Secrets and signatures of Standard Webhooks 1.0. Pure.

The signed text is `webhook-id.webhook-timestamp.body`, the signature `v1,` and base64 of HMAC-SHA256 under the bytes
that the secret's base64 stands for. The timestamp is of the attempt, so that a receiver can refuse old ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)  # the standard's bounds


def new_secret() -> str:
    """A fresh secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key inside a secret; ValueError for anything but `whsec_` and base64 of 24 to 64 bytes."""
    if not secret.startswith(_PREFIX):
        raise ValueError(f"a secret begins with {_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{_PREFIX} is followed by base64") from None
    if len(key) not in _KEY_BYTES:
        raise ValueError("a secret holds 24 to 64 bytes")
    return key


def signed_headers(secret: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three header fields that prove who sent the body, and when."""
    text = f"{message_id}.{at_s}.".encode() + body
    digest = hmac.new(secret_bytes(secret), text, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
