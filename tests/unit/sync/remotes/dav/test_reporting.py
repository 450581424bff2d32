"""What is taken for a report of changes, and what is not; how its parts become one."""

from __future__ import annotations

import httpx
import pytest

from cache.model import Kind
from sync.remotes.dav.exchange import DavExchange
from sync.remotes.dav.facts import Facts, plain_facts, propfind_body
from sync.remotes.dav.looking import Looker
from sync.remotes.dav.reporting import Report, Reporter

FILE = Facts(kind=Kind.FILE, size=1)
TOKEN = "<d:sync-token>data:,2</d:sync-token>"


def row(href: str, status: int = 404) -> str:
    return f"<d:response><d:href>{href}</d:href><d:status>HTTP/1.1 {status} So</d:status></d:response>"


async def told(*rows: str, status: int = 207, tree: bool = False) -> Report | None:
    """What is made of an answer about the folder `/d`."""
    body = f'<d:multistatus xmlns:d="DAV:">{"".join(rows)}</d:multistatus>'
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    exchange = DavExchange("http://127.0.0.1/", None, transport=transport)
    looker = Looker(exchange, propfind_body(), lambda each, _: plain_facts(each))
    return await Reporter(exchange, looker).since(("d",), "data:,1", tree=tree)


async def test_what_is_gone_is_told_by_its_address() -> None:
    report = await told(row("/d/x"), row("/d/.anchorfs-up-1"), TOKEN)
    assert report is not None
    assert (report.gone, report.token, report.cut, report.unclear) == ({("d", "x")}, "data:,2", False, False)


@pytest.mark.parametrize(
    "rows",
    [
        (row("/d/x"),),
        (row("/d/x"), "<d:sync-token/>"),
        (row("/other/x"), TOKEN),
        (row("/x"), TOKEN),
        (row("/d/below/x"), TOKEN),
        (row("/d/../x"), TOKEN),
        ("<d:response/>", TOKEN),
    ],
)
async def test_half_a_report_or_one_of_another_folder_is_none(rows: tuple[str, ...]) -> None:
    assert await told(*rows) is None


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 412, 501, 507])
async def test_a_refusal_is_none(status: int) -> None:
    assert await told(TOKEN, status=status) is None


async def test_a_report_that_goes_on_from_where_it_stands_is_none() -> None:
    assert await told(row("/d/x"), row("/d", 507), TOKEN) is None


async def test_what_is_told_with_a_refusal_is_neither_there_nor_gone() -> None:
    report = await told(row("/d/x", 403), TOKEN)
    assert report is not None
    assert (report.present, report.gone, report.unclear) == ({}, set(), True)


def test_of_two_parts_the_later_one_counts() -> None:
    first = Report("1", present={("went",): FILE, ("stays",): FILE}, gone={("came",), ("away",)}, cut=True)
    first.follow(Report("2", present={("came",): FILE}, gone={("went",)}))
    assert (first.present.keys(), first.gone) == ({("came",), ("stays",)}, {("away",), ("went",)})
    assert (first.token, first.cut) == ("2", False)
