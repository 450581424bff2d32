"""Histories that once ended badly, as short as they could be made, each under the law that it broke."""

from __future__ import annotations

import pytest

from tests.model.history import History, Step, told

FOUND = {
    "what was approved goes with the new folder that it is in when that is rejected": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (8, 6, 6, 7)}),
        Step("review", {"who": 0, "wanted": True}),
        Step("decide", {"who": 0, "what": "approve", "which": 4}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (11, 7, 4, 10)}),
        Step("decide", {"who": 0, "what": "reject", "which": 3}),
    ],
    "the removal of our own creation, its answer lost, is not one of what others wrote into it since": [
        Step("pull", {"who": 0}),
        Step("program", {"who": 0, "kind": "create", "picks": (5, 10, 6, 10)}),
        Step("push_with_fault", {"who": 2, "fault": "lost", "which": 0, "at": "*"}),
        Step("retell", {"who": 0, "back": 3}),
        Step("program", {"who": 0, "kind": "save", "picks": (9, 2, 4, 11)}),
        Step(
            "overlap",
            {
                "who": 1, "engine": "pull", "which": 1, "late": True, "beside": "server", "kind": "read",
                "picks": (2, 11, 1, 5), "dies": 0,
            },
        ),
    ],
    "what a rejected creation has left at the remote is shown, though it had another name since": [
        Step("program", {"who": 0, "kind": "create", "picks": (1, 8, 3, 6)}),
        Step(
            "overlap",
            {
                "who": 0, "engine": "push", "which": 4, "late": True, "beside": "pull", "kind": "rmdir",
                "picks": (4, 4, 4, 10), "dies": 0,
            },
        ),
        Step("review", {"who": 0, "wanted": True}),
        Step("program", {"who": 0, "kind": "rename", "picks": (1, 1, 10, 3)}),
        Step("decide", {"who": 0, "what": "reject", "which": 2}),
    ],
    "a creation in doubt does not wait for what waits for it": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (4, 0, 2, 9)}),
        Step("push_all", {"who": 0}),
        Step("on_the_server", {"kind": "move", "picks": (1, 5, 7, 6)}),
        Step("program", {"who": 0, "kind": "mkdir", "picks": (11, 10, 0, 6)}),
        Step("push_one", {"who": 0, "which": 0}),
        Step("program", {"who": 0, "kind": "create", "picks": (11, 3, 6, 10)}),
        Step("program", {"who": 0, "kind": "exchange", "picks": (6, 2, 6, 3)}),
    ],
    "a file that is being edited is whole by its row too": [
        Step("on_the_server", {"kind": "create", "picks": (1, 10, 3, 4)}),
        Step("program", {"who": 0, "kind": "look", "picks": (11, 9, 0, 3)}),
        Step("program", {"who": 0, "kind": "open", "picks": (6, 10, 5, 7)}),
        Step("program", {"who": 0, "kind": "poke", "picks": (5, 6, 2, 3)}),
    ],
    "an item that a local name hides is missed as well when a listing no longer tells it": [
        Step("program", {"who": 0, "kind": "create", "picks": (9, 10, 1, 0)}),
        Step(
            "overlap",
            {
                "who": 0, "engine": "push", "which": 3, "late": True, "beside": "pull", "kind": "rmdir",
                "picks": (5, 1, 8, 8), "dies": 0,
            },
        ),
        Step("restore", {}),
        Step("pull", {"who": 0}),
    ],
    "the answer to a repeated creation may be older than the feed": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (1, 4, 3, 5)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("on_the_server", {"kind": "delete", "picks": (11, 8, 9, 2)}),
        Step("pull", {"who": 0}),
    ],
    "an answer that a resync overtook is older than what it found": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (1, 4, 3, 5)}),
        Step(
            "overlap",
            {
                "who": 0, "engine": "push", "which": 0, "late": True, "beside": "news", "kind": "look",
                "picks": (4, 0, 0, 0), "dies": 1,
            },
        ),
    ],
    "a listing that a resync overtook is not taken": [
        Step(
            "overlap",
            {
                "who": 1, "engine": "list", "which": 1, "late": True, "beside": "news", "kind": "rmdir",
                "picks": (0, 7, 1, 9), "dies": 4,
            },
        ),
    ],
    "a name is not created again before what an earlier creation may have made there is known": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "unreachable", "which": 0}),
        Step("program", {"who": 0, "kind": "rmdir", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step(
            "overlap",
            {
                "who": 0, "engine": "push", "which": 1, "late": True, "beside": "pull", "kind": "look",
                "picks": (0, 0, 0, 0), "dies": 1,
            },
        ),
        Step("expect", {"who": 0, "path": "/a"}),
    ],
    "a folder made where one in doubt was made before stays a folder of its own": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 1, 0)}),
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 0}),
        Step("expect", {"who": 0, "path": "/a"}),
        Step("expect", {"who": 0, "path": "/b"}),
    ],
    "a removal of what may never have been is over when its folder is gone": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (9, 7, 11, 5)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "create", "picks": (11, 7, 10, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "unreachable", "which": 0}),
        Step("program", {"who": 0, "kind": "unlink", "picks": (5, 11, 8, 6)}),
        Step("on_the_server", {"kind": "delete", "picks": (0, 0, 0, 0)}),
    ],
    "a new folder is looked into when others were told of in it before its own answer came": [
        Step("program", {"who": 1, "kind": "mkdir", "picks": (1, 7, 2, 9)}),
        Step(
            "overlap",
            {
                "who": 1, "engine": "push", "which": 2, "late": True, "beside": "news", "kind": "look",
                "picks": (0, 5, 9, 10), "dies": 4,
            },
        ),
    ],
    "a creation whose answer was lost is not shown a second time under the name that it had": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 1, 1, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 0}),
        Step("program", {"who": 0, "kind": "look", "picks": (0, 0, 0, 0)}),
    ],
    "hours without a server do not count as conflicts": [
        Step("program", {"who": 1, "kind": "mkdir", "picks": (1, 5, 1, 4)}),
        Step("program", {"who": 0, "kind": "create", "picks": (6, 5, 8, 9)}),
        Step("connect", {"who": 1, "online": False}),
        *[Step("push_all", {"who": 1})] * 14,
        Step("push_all", {"who": 0}),
    ],
    "a move whose answer was lost, moved on since, is not taken for a move of others": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 0, 1, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 1, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 2, 0)}),
    ],
    "the name in between of two that swap is never shown": [
        Step("program", {"who": 2, "kind": "mkdir", "picks": (1, 4, 11, 5)}),
        Step("program", {"who": 1, "kind": "create", "picks": (7, 11, 10, 11)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 2, "kind": "symlink", "picks": (8, 5, 0, 7)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 2, "kind": "exchange", "picks": (1, 2, 3, 10)}),
        Step("push_with_fault", {"who": 1, "fault": "lost", "which": 1}),
        Step("program", {"who": 1, "kind": "unlink", "picks": (10, 0, 7, 9)}),
    ],
    "an edit of an open file wins also when what deleted it took its name": [
        Step("program", {"who": 0, "kind": "create", "picks": (4, 10, 8, 8)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "open", "picks": (0, 0, 2, 10)}),
        Step("on_the_server", {"kind": "retype", "picks": (0, 8, 3, 1)}),
        Step("pull", {"who": 0}),
        Step("program", {"who": 0, "kind": "poke", "picks": (0, 0, 0, 0)}),
    ],
    "what holds a name may be what another node was sent as": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 2, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "exchange", "picks": (0, 1, 0, 0)}),
        Step("pull", {"who": 0}),
    ],
    "a folder takes the name of one that was sent, its answer lost, and replaced since": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (11, 11, 8, 7)}),
        Step("program", {"who": 0, "kind": "mkdir", "picks": (3, 9, 1, 2)}),
        Step("program", {"who": 0, "kind": "rename", "picks": (7, 6, 6, 8)}),
        Step(
            "overlap",
            {
                "who": 1, "engine": "push", "which": 2, "late": True, "beside": "other", "kind": "symlink",
                "picks": (7, 4, 2, 0), "dies": 0,
            },
        ),
        Step("push_one", {"who": 0, "which": 3}),
        Step("program", {"who": 1, "kind": "rename", "picks": (5, 3, 5, 4)}),
    ],
    "a move whose answer was lost, moved back since, is moved back": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 1, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 2, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 1, 0)}),
    ],
    "a name that was given up may show what it hid, in the way of who comes": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 1, 0, 0)}),
        Step("on_the_server", {"kind": "mkdir", "picks": (0, 1, 0, 0)}),
        Step("on_the_server", {"kind": "create", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 0}),
        Step("on_the_server", {"kind": "move", "picks": (0, 0, 2, 0)}),
        Step("on_the_server", {"kind": "move", "picks": (1, 0, 1, 0)}),
        Step("on_the_server", {"kind": "move", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 0}),
    ],
    "a folder that is gone by its listing is shown no more": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (11, 3, 9, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost-then-gone", "which": 2}),
        Step("program", {"who": 0, "kind": "create", "picks": (3, 10, 2, 0)}),
        Step("push_all", {"who": 0}),
        Step("on_the_server", {"kind": "retype", "picks": (0, 8, 9, 8)}),
        Step("program", {"who": 0, "kind": "mkdir", "picks": (3, 6, 2, 5)}),
    ],
    "a folder is not renamed over one that holds something unseen": [
        Step("on_the_server", {"kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("on_the_server", {"kind": "mkdir", "picks": (0, 1, 0, 0)}),
        Step("program", {"who": 0, "kind": "look", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "look", "picks": (1, 0, 0, 0)}),
        Step("on_the_server", {"kind": "create", "picks": (2, 2, 0, 0)}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 1, 0)}),
    ],
    "what was created, removed and then moved by others, without an answer, goes": [
        Step("program", {"who": 0, "kind": "create", "picks": (6, 10, 7, 10)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("pull", {"who": 0}),
        Step("program", {"who": 0, "kind": "unlink", "picks": (9, 5, 8, 0)}),
        Step("on_the_server", {"kind": "move", "picks": (1, 4, 3, 10)}),
        Step("push_one", {"who": 0, "which": 0}),
    ],
    "a link in doubt is not taken for an equal one that took its name": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 2, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "unreachable", "which": 0}),
        Step("program", {"who": 0, "kind": "exchange", "picks": (0, 1, 0, 0)}),
    ],
    "a folder whose name a local move claims is shown when something known went into it": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "create", "picks": (0, 2, 1, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 1, "kind": "look", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 1, "kind": "exchange", "picks": (0, 1, 0, 0)}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
    ],
    "a folder that was moved into a new one is compared, too, when the feed does not reach back": [
        Step("program", {"who": 1, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 1}),
        Step("program", {"who": 1, "kind": "wrap", "picks": (0, 0, 0, 0)}),
        Step("on_the_server", {"kind": "mkdir", "picks": (1, 1, 0, 0)}),
        Step("on_the_server", {"kind": "expire", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 1}),
    ],
    "what leaves a folder that is removed here is told of without that folder": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "chmod", "picks": (0, 1, 0, 0)}),
        Step("program", {"who": 0, "kind": "unwrap", "picks": (1, 0, 0, 0)}),
        Step("push_one", {"who": 0, "which": 0}),
    ],
    "bytes that were given up are no version of the remote's": [
        Step("on_the_server", {"kind": "create", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "look", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "write", "picks": (0, 0, 0, 0)}),
        Step("review", {"who": 0, "wanted": True}),
        Step("decide", {"who": 0, "what": "reject", "which": 0}),
    ],
    "what was told of a creation without an answer, and moved since, gives way to it": [
        Step("program", {"who": 0, "kind": "mkdir", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("on_the_server", {"kind": "move", "picks": (0, 0, 1, 0)}),
        Step("pull", {"who": 0}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (1, 0, 0, 0)}),
        Step("push_one", {"who": 0, "which": 0}),
    ],
    "what was made before the right to make it was lost is still our own": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost-then-gone", "which": 0}),
        Step("push_with_fault", {"who": 0, "fault": "denied", "which": 0}),
        Step("program", {"who": 0, "kind": "unlink", "picks": (0, 0, 0, 0)}),
    ],
    "a folder that becomes one with another does not leave behind what it was sent as": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (0, 0, 0, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("pull", {"who": 0}),
        Step("on_the_server", {"kind": "retype", "picks": (0, 0, 0, 0)}),
        Step("pull", {"who": 0}),
        Step("expect", {"who": 0, "path": "/a"}),
    ],
    "a file that was emptied, and that rejected, is no version of the remote's": [
        Step("on_the_server", {"kind": "create", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "look", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "truncate", "picks": (0, 0, 0, 0)}),
        Step("review", {"who": 0, "wanted": True}),
        Step("program", {"who": 0, "kind": "chmod", "picks": (0, 0, 0, 0)}),
        Step("decide", {"who": 0, "what": "reject", "which": 0}),
    ],
    "what a name hides in a folder goes with that folder": [
        Step("program", {"who": 1, "kind": "create", "picks": (7, 5, 11, 3)}),
        Step("push_one", {"who": 1, "which": 5}),
        Step("on_the_server", {"kind": "retype", "picks": (8, 8, 5, 10)}),
        Step("program", {"who": 0, "kind": "symlink", "picks": (5, 7, 8, 10)}),
        Step("program", {"who": 0, "kind": "rename", "picks": (7, 7, 8, 5)}),
        Step("on_the_server", {"kind": "create", "picks": (1, 11, 3, 6)}),
        Step("push_one", {"who": 0, "which": 4}),
        Step("restore", {}),
        Step("pull", {"who": 0}),
    ],
    "a folder is not removed before what it holds has left, also when that was tried without a server": [
        Step("program", {"who": 0, "kind": "symlink", "picks": (0, 0, 0, 0)}),
        Step("program", {"who": 0, "kind": "wrap", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("connect", {"who": 0, "online": False}),
        Step("program", {"who": 0, "kind": "unwrap", "picks": (1, 0, 0, 0)}),
        *[Step("push_one", {"who": 0, "which": 0})] * 2,
    ],
    "a move whose answer was lost, moved on since and tried again without a server, is our own": [
        Step("program", {"who": 0, "kind": "create", "picks": (0, 0, 0, 0)}),
        Step("push_all", {"who": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 1, 0)}),
        Step("push_with_fault", {"who": 0, "fault": "lost", "which": 0}),
        Step("program", {"who": 0, "kind": "rename", "picks": (0, 0, 2, 0)}),
        *[Step("push_with_fault", {"who": 0, "fault": "unreachable", "which": 0})] * 2,
    ],
}  # fmt: skip
ALONE = {
    "a folder is not removed before what it holds has left, also when that was tried without a server",
    "a move whose answer was lost, moved on since and tried again without a server, is our own",
    "what was made before the right to make it was lost is still our own",
    "what leaves a folder that is removed here is told of without that folder",
    "a link in doubt is not taken for an equal one that took its name",
    "a creation whose answer was lost is not shown a second time under the name that it had",
    "a move whose answer was lost, moved on since, is not taken for a move of others",
    "the name in between of two that swap is never shown",
    "what holds a name may be what another node was sent as",
    "a folder takes the name of one that was sent, its answer lost, and replaced since",
    "a move whose answer was lost, moved back since, is moved back",
}


@pytest.mark.parametrize("law", FOUND)
def test_what_once_ended_badly_ends_well(law: str) -> None:
    ending = told(History(seed=0, machines=1 if law in ALONE else 2, steps=tuple(FOUND[law])))
    assert ending.fingerprint, ending.trace
