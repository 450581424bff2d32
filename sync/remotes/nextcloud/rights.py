"""What `oc:permissions` lets an account do. Pure.

Letters as the server tells them: G readable, D deletable, N renameable, V moveable, W writable (files), C may create
files, K may create folders; R shareable, S shared and M mounted say nothing about the item itself.
"""

from __future__ import annotations

from cache.model import ALL_CAPABILITIES, Capability

_LETTERS: tuple[tuple[Capability, str], ...] = (
    (Capability.READ, "G"),
    (Capability.DELETE, "D"),
    (Capability.RENAME, "NV"),
)


def capabilities_of(permissions: str, *, is_folder: bool) -> frozenset[Capability]:
    """What may be done; everything when nothing was told: then the server refuses by itself."""
    letters = set(permissions)
    if not letters:
        return ALL_CAPABILITIES
    able = {capability for capability, needed in _LETTERS if letters.issuperset(needed)}
    if is_folder and letters.issuperset("CK"):
        able |= {Capability.ADD_CHILDREN, Capability.WRITE}
    if not is_folder and "W" in letters:
        able.add(Capability.WRITE)
    return frozenset(able)
