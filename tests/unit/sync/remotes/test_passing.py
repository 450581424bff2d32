"""The buffer that passes bodies on reads like h11's own, however what arrives is cut."""

from __future__ import annotations

import random
from itertools import pairwise

import h11
import pytest

from sync.remotes.passing import PassingBuffer

BODY = bytes(range(256)) * 40
HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(
    b"%x\r\n%s\r\n" % (len(BODY[at : at + 700]), BODY[at : at + 700]) for at in range(0, len(BODY), 700)
) + b"0\r\n\r\n"  # fmt: skip
UNTIL_CLOSED = HEAD + b"connection: close\r\n\r\n" + BODY


def connection() -> h11.Connection:
    made = h11.Connection(h11.CLIENT)
    made._receive_buffer = PassingBuffer()
    return made


def ask(made: h11.Connection) -> None:
    made.send(h11.Request(method="GET", target="/", headers=[("host", "here")]))
    made.send(h11.EndOfMessage())


def answer(made: h11.Connection, pieces: list[bytes]) -> bytes:
    """The body, whose pieces arrive one by one."""
    got = b""
    waiting = iter(pieces)
    while not isinstance(event := made.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            made.receive_data(next(waiting, b""))
        elif isinstance(event, h11.Data):
            got += bytes(event.data)
    return got


@pytest.mark.parametrize("told", [WHOLE, CHUNKED, UNTIL_CLOSED])
@pytest.mark.parametrize("seed", range(20))
def test_a_body_is_the_same_however_it_is_cut(told: bytes, seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted({0, len(told), *(chance.randrange(len(told)) for _ in range(chance.choice([0, 1, 5, 200])))})
    made = connection()
    ask(made)
    assert answer(made, [told[start:stop] for start, stop in pairwise(cuts)]) == BODY


def test_the_next_answer_begins_where_the_last_one_ended() -> None:
    made = connection()
    ask(made)
    assert answer(made, [WHOLE[:50], WHOLE[50:]]) == BODY
    made.start_next_cycle()
    ask(made)
    assert answer(made, [CHUNKED]) == BODY
    assert made.trailing_data == (b"", False)


def test_a_piece_of_a_body_is_given_out_as_it_came() -> None:
    buffer, piece = PassingBuffer(), b"x" * 1000
    buffer += piece
    assert buffer.maybe_extract_at_most(5000) is piece
    assert not buffer
