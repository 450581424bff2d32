"""Names that a Nextcloud takes, told before anything is sent. Pure.

Names are kept in NFC there; another form would come back as another name, and the program that made it would not find
it again, so it is refused. Created names of more than 225 bytes are answered with an error 500 on local storage: the
server adds a suffix of its own while it writes. The rest are the rules that a server announces (version 30 and later),
or else those that every version had.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from sync.capabilities import Names
from sync.remote import NameRefused

NAME_MAX_BYTES = 225


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRules:
    """What one server refuses; letter case aside, but for characters."""

    names: frozenset[str] = frozenset({".htaccess"})
    stems: frozenset[str] = frozenset()  # names up to their first dot
    characters: frozenset[str] = frozenset("\\\n")
    endings: tuple[str, ...] = (".part", ".filepart")

    def told(self) -> Names:
        """As the seam tells them."""
        return Names(max_bytes=NAME_MAX_BYTES, form="nfc", refused=self.characters)

    def checked(self, name: str) -> str:
        """`name`, if the server takes it as it is; NameRefused."""
        reason = self._reason(name)
        if reason is not None:
            raise NameRefused(reason)
        return name

    def _reason(self, name: str) -> str | None:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            return "not a name of one entry"
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            return "a name that is no UTF-8 text"
        if size > NAME_MAX_BYTES:
            return f"a name of {size} bytes; Nextcloud takes {NAME_MAX_BYTES}"
        if unicodedata.normalize("NFC", name) != name:
            return "Nextcloud keeps names in the composed form of Unicode (NFC) only"
        if name != name.strip():
            return "Nextcloud takes no name that begins or ends with a blank"
        return self._forbidden(name)

    def _forbidden(self, name: str) -> str | None:
        folded = name.casefold()
        if self.characters & set(name):
            return "this server takes no name with one of the characters " + " ".join(
                map(repr, sorted(self.characters))
            )
        if folded.endswith(self.endings):
            return f"this server keeps names that end in {' or '.join(self.endings)} for itself"
        if folded in self.names or folded.partition(".")[0] in self.stems:
            return f"this server reserves the name {name!r}"
        return None
