"""The policies `server-wins` and `client-wins`: the copy rows of the conflict table by their side, and the side that
loses is found again: [S4.13] of vfs/SEMANTICS.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.model import Aspect, Kind
from sync.planner import Conflicts, Verdict, verdict
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

FILE, FOLDER, SYMLINK = Kind.FILE, Kind.FOLDER, Kind.SYMLINK


@pytest.mark.parametrize(
    ("conflicts", "aspect", "mine", "theirs", "wins"),
    [
        (Conflicts.COPY, Aspect.CONTENT, FILE, FILE, Verdict.COPY),
        (Conflicts.COPY, Aspect.PLACE, FILE, FILE, Verdict.COPY),
        (Conflicts.COPY, Aspect.CREATE, FILE, SYMLINK, Verdict.COPY),
        (Conflicts.SERVER_WINS, Aspect.CONTENT, FILE, FILE, Verdict.SERVER),
        (Conflicts.SERVER_WINS, Aspect.CREATE, FILE, SYMLINK, Verdict.SERVER),
        (Conflicts.SERVER_WINS, Aspect.CREATE, FOLDER, FILE, Verdict.COPY),
        (Conflicts.SERVER_WINS, Aspect.CREATE, FILE, FOLDER, Verdict.COPY),
        (Conflicts.SERVER_WINS, Aspect.PLACE, FOLDER, FILE, Verdict.SERVER),
        (Conflicts.CLIENT_WINS, Aspect.CONTENT, FILE, FILE, Verdict.CLIENT),
        (Conflicts.CLIENT_WINS, Aspect.PLACE, FILE, FILE, Verdict.CLIENT),
        (Conflicts.CLIENT_WINS, Aspect.PLACE, FILE, FOLDER, Verdict.COPY),
        (Conflicts.CLIENT_WINS, Aspect.CREATE, FOLDER, FILE, Verdict.COPY),
    ],
)
def test_the_verdict(conflicts: Conflicts, aspect: Aspect, mine: Kind, theirs: Kind, wins: Verdict) -> None:
    assert verdict(conflicts, aspect, mine, theirs) is wins


@pytest.fixture
async def desk(tmp_path: Path, *, push_first: bool) -> AsyncIterator[Desk]:
    """/f "old", /g "other", /d/: known here."""
    async with at_work(tmp_path, {"/f": b"old", "/g": b"other", "/d": None}, push_first=push_first) as desk:
        yield desk


@pytest.fixture
def server_wins(desk: Desk) -> Desk:
    """The server's side has it."""
    desk.machine.engine.applier.conflicts = Conflicts.SERVER_WINS
    return desk


@pytest.fixture
def client_wins(desk: Desk) -> Desk:
    """This machine's side has it."""
    desk.machine.engine.applier.conflicts = Conflicts.CLIENT_WINS
    return desk


def kept(desk: Desk) -> list[bytes]:
    """What was put aside on this machine, in the order of its bytes."""
    return sorted(each.read_bytes() for each in desk.machine.store.aside.root.rglob("*") if each.is_file())


def history(desk: Desk) -> set[bytes]:
    """Every content that the server ever had, in its history or its trash."""
    return set(desk.drive.bodies.values())


async def test_content_server_wins(server_wins: Desk) -> None:
    await server_wins.write("/f", b"mine")
    server_wins.edited("/f", b"theirs")
    assert await server_wins.meet() == {"/f": b"theirs", "/g": b"other", "/d": None}
    assert kept(server_wins) == [b"mine"]
    assert "server-wins" in server_wins.decided()


async def test_content_client_wins(client_wins: Desk) -> None:
    item_id = client_wins.drive.at("/f").item_id
    await client_wins.write("/f", b"mine")
    client_wins.edited("/f", b"theirs")
    assert await client_wins.meet() == {"/f": b"mine", "/g": b"other", "/d": None}
    assert client_wins.drive.at("/f").item_id == item_id
    assert b"theirs" in history(client_wins)
    assert "client-wins" in client_wins.decided()


async def test_a_creation_server_wins(server_wins: Desk) -> None:
    await server_wins.machine.create("/n", b"mine")
    server_wins.there("/n", b"theirs")
    assert (await server_wins.meet())["/n"] == b"theirs"
    assert kept(server_wins) == [b"mine"]
    assert server_wins.copies() == {}


async def test_a_creation_client_wins(client_wins: Desk) -> None:
    await client_wins.machine.create("/n", b"mine")
    item_id = client_wins.there("/n", b"theirs").item_id
    assert (await client_wins.meet())["/n"] == b"mine"
    assert client_wins.drive.at("/n").item_id == item_id
    assert b"theirs" in history(client_wins)
    assert client_wins.copies() == {}


async def test_a_symlink_server_wins(server_wins: Desk) -> None:
    await server_wins.do.symlink(*server_wins.machine.place("/n"), "mine")
    server_wins.there("/n", b"theirs")
    assert (await server_wins.meet())["/n"] == b"theirs"
    links = [each for each in server_wins.machine.store.aside.root.rglob("*") if each.is_symlink()]
    assert [(each.name, str(each.readlink())) for each in links] == [("n", "mine")]


async def test_a_symlink_client_wins(client_wins: Desk) -> None:
    await client_wins.do.symlink(*client_wins.machine.place("/n"), "mine")
    client_wins.there("/n", b"theirs")
    assert (await client_wins.meet())["/n"] == "mine"
    assert b"theirs" in history(client_wins)


async def test_a_move_to_a_taken_name_server_wins(server_wins: Desk) -> None:
    """The move is undone: the same file is back, with its number and its bytes."""
    before = server_wins.machine.at("/f")
    await server_wins.rename("/f", "/d/n")
    server_wins.there("/d/n", b"theirs")
    assert await server_wins.meet() == {"/f": b"old", "/g": b"other", "/d": None, "/d/n": b"theirs"}
    after = server_wins.machine.at("/f")
    assert (after.ino, after.content_id) == (before.ino, before.content_id)
    assert kept(server_wins) == []


async def test_a_move_to_a_taken_name_client_wins(client_wins: Desk) -> None:
    await client_wins.rename("/f", "/d/n")
    client_wins.there("/d/n", b"theirs")
    assert await client_wins.meet() == {"/d/n": b"old", "/g": b"other", "/d": None}
    assert b"theirs" in history(client_wins)


async def test_two_moves_to_one_name_server_wins(server_wins: Desk) -> None:
    await server_wins.rename("/f", "/n")
    server_wins.moved("/g", "/n")
    assert await server_wins.meet() == {"/f": b"old", "/n": b"other", "/d": None}


async def test_two_moves_to_one_name_client_wins(client_wins: Desk) -> None:
    await client_wins.rename("/f", "/n")
    client_wins.moved("/g", "/n")
    assert await client_wins.meet() == {"/n": b"old", "/d": None}
    assert b"other" in history(client_wins)


async def test_a_creation_against_a_move_server_wins(server_wins: Desk) -> None:
    await server_wins.machine.create("/n", b"mine")
    server_wins.moved("/g", "/n")
    assert await server_wins.meet() == {"/f": b"old", "/n": b"other", "/d": None}
    assert kept(server_wins) == [b"mine"]


async def test_a_creation_against_a_move_client_wins(client_wins: Desk) -> None:
    await client_wins.machine.create("/n", b"mine")
    client_wins.moved("/g", "/n")
    assert await client_wins.meet() == {"/f": b"old", "/n": b"mine", "/d": None}
    assert b"other" in history(client_wins)


@pytest.mark.parametrize("policy", [Conflicts.SERVER_WINS, Conflicts.CLIENT_WINS])
async def test_a_folder_never_loses(desk: Desk, policy: Conflicts) -> None:
    """Its name is taken by a file: it goes on beside it, with all that it holds."""
    desk.machine.engine.applier.conflicts = policy
    await desk.mkdir("/n")
    await desk.machine.create("/n/in", b"mine")
    desk.there("/n", b"theirs")
    tree = await desk.meet()
    assert tree["/n"] == b"theirs"
    assert [what for path, what in desk.copies().items() if path.endswith("/in")] == [b"mine"]


@pytest.mark.parametrize("policy", [Conflicts.SERVER_WINS, Conflicts.CLIENT_WINS])
async def test_an_edit_still_wins_over_a_deletion(desk: Desk, policy: Conflicts) -> None:
    """The policies choose between two states; a deletion is none."""
    desk.machine.engine.applier.conflicts = policy
    await desk.write("/f", b"mine")
    desk.deleted("/f")
    await desk.unlink("/g")
    desk.edited("/g", b"theirs")
    assert await desk.meet() == {"/f": b"mine", "/g": b"theirs", "/d": None}


async def test_what_an_open_file_still_writes_is_kept_too(server_wins: Desk) -> None:
    fh = (await server_wins.do.open(server_wins.machine.at("/f").ino, 2)).fh
    await server_wins.do.write(fh, 0, b"mine")
    await server_wins.do.fsync(fh, True)
    server_wins.edited("/f", b"theirs")
    await server_wins.machine.pull()
    await server_wins.machine.push_all(5.0)
    await server_wins.do.write(fh, 4, b", later")
    await server_wins.do.release(fh)
    await server_wins.machine.store.save()
    assert (await server_wins.meet())["/f"] == b"theirs"
    assert kept(server_wins) == [b"mine", b"mine, later"]
