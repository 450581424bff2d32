"""What a Nextcloud is able to keep and to promise. Pure.

Conditions hold for files only; a folder is looked at right before. Versions are weak within a second, digests are the
claims of whoever wrote, times have whole seconds, and keys are known to this machine alone.
"""

from __future__ import annotations

from dataclasses import replace as with_
from typing import TYPE_CHECKING

from sync.capabilities import FILES_AND_FOLDERS, Delta, Feature, Push

if TYPE_CHECKING:
    from sync.capabilities import Capabilities
    from sync.remotes.nextcloud.announced import Announced

BEFORE = with_(
    FILES_AND_FOLDERS,
    features=frozenset({Feature.SESSIONS, Feature.VERSIONS, Feature.TRASH, Feature.SEARCH}),
    delta=Delta.WALK,
    push=Push.POLL,
    mtime_step_ns=10**9,
)
"""Of a server that was not reached yet: what nearly every one announces."""


def able(told: Announced) -> Capabilities:
    """Of one that announced itself."""
    features = {
        Feature.SEARCH: True,
        Feature.SESSIONS: told.chunks,
        Feature.TRASH: told.trash,
        Feature.VERSIONS: told.versions,
    }
    return with_(
        BEFORE,
        features=frozenset(feature for feature, there in features.items() if there),
        push=Push.POLL if told.push_url is None else Push.SOCKET,
        names=told.names.told(),
    )
