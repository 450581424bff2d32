"""The local page: who is let in, what it tells and does, and the page itself in a real browser."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.harness.drives import attribute, converge, seen
from tests.harness.page import page, visitor
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def client(first: Mount) -> Iterator[httpx.Client]:
    """A visitor of the page over the first mount."""
    with page(first.environment) as address, visitor(address) as client:
        yield client


def acted(client: httpx.Client, mount: Mount, **facts: str) -> httpx.Response:
    return client.post("/api/act", json={"mountpoint": str(mount.path), **facts})


def test_only_who_has_the_address_comes_in_and_only_once(first: Mount) -> None:
    with page(first.environment) as address:
        base = address.split("/?")[0]
        assert httpx.get(f"{base}/api/mounts", timeout=DEADLINE_S).status_code == 403
        assert httpx.get(f"{base}/?token=wrong", timeout=DEADLINE_S).status_code == 403
        with visitor(address) as client:
            assert client.get("/").status_code == 200
            assert client.get("/api/mounts").json()["mounts"][0]["mountpoint"] == str(first.path)
            stolen = {"host": "evil.example:80"}
            assert client.get("/api/mounts", headers=stolen).status_code == 421
            foreign = {"origin": "http://evil.example"}
            pause = {"mountpoint": str(first.path), "verb": "pause"}
            assert client.post("/api/act", json=pause, headers=foreign).status_code == 403
            assert client.post("/api/act", json=pause, headers={"x-anchorfs": ""}).status_code == 403
            policy = client.get("/static/app.js").headers["content-security-policy"]
            assert "default-src 'self'" in policy
        assert httpx.get(address, timeout=DEADLINE_S).status_code == 403  # used up
    with pytest.raises(httpx.ConnectError):
        httpx.get(base, timeout=DEADLINE_S)


def test_folders_are_shown_with_states_and_steered(
    client: httpx.Client, drive: Drive, first: Mount, one: Path, served: Path
) -> None:
    (served / "far").write_bytes(b"x" * 9000)
    drive.server.scan()
    until((one / "far").exists, "the file")

    def entry() -> dict[str, object]:
        asked = client.get("/api/folder", params={"mountpoint": str(first.path), "path": one.name})
        (row,) = asked.json()["entries"]
        assert isinstance(row, dict)
        return row

    assert (entry()["name"], entry()["state"], entry()["on_disk_bytes"]) == ("far", "online-only", 0)
    path = f"{one.name}/far"
    assert acted(client, first, verb="hydrate", path=path).status_code == 200
    assert entry()["state"] == "local"
    assert acted(client, first, verb="evict", path=path).status_code == 200
    assert entry()["state"] == "online-only"
    assert acted(client, first, verb="pin", path=path, pin="pinned").status_code == 200
    until(lambda: entry()["state"] == "local", "the pinned file to arrive")
    refused = acted(client, first, verb="unmount")
    assert (refused.status_code, refused.json()["error"]["kind"]) == (409, "bad-request")


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "way-out/passwd"])
def test_nothing_outside_the_mount_is_told(client: httpx.Client, first: Mount, one: Path, path: str) -> None:
    (one / "way-out").symlink_to("/etc")
    for kind in ("folder", "preview"):
        asked = client.get(f"/api/{kind}", params={"mountpoint": str(first.path), "path": f"{one.name}/{path}"})
        assert (asked.status_code, asked.json()["error"]["kind"]) == (409, "bad-request")
    assert client.get("/api/folder", params={"mountpoint": "/etc", "path": ""}).status_code == 409


def a_conflict(drive: Drive, one: Path, two: Path) -> Path:
    """Two sides of `letter`; the copy."""
    (one / "letter").write_text("Dear all,\nthe old line\n")
    seen(two / "letter", b"Dear all,\nthe old line\n")
    drive.mounts["two"].command("pause", str(drive.mounts["two"].path))
    (two / "letter").write_text("Dear all,\ntheir line\n")
    (one / "letter").write_text("Dear all,\nour line\n")
    drive.mounts["one"].sync()
    drive.mounts["two"].command("resume", str(drive.mounts["two"].path))
    converge(drive.mounts["two"], drive.mounts["one"])
    (copy,) = [path for path in two.iterdir() if "conflict" in path.name]
    return copy


def test_conflicts_are_compared_and_settled(drive: Drive, second: Mount, one: Path, two: Path) -> None:
    copy = a_conflict(drive, one, two)
    with page(second.environment) as address, visitor(address) as client:
        (mount,) = client.get("/api/mounts").json()["mounts"]
        (row,) = mount["open_conflicts"]
        texts = [
            client.get("/api/preview", params={"mountpoint": str(second.path), "path": row[side]}).json()["text"]
            for side in ("original", "copy")
        ]
        assert texts == ["Dear all,\nour line\n", "Dear all,\ntheir line\n"]
        assert acted(client, second, verb="resolve", path=row["copy"], keep="copy").status_code == 200
    until(lambda: not copy.exists(), "the copy to take its place")
    seen(one / "letter", b"Dear all,\ntheir line\n")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A headless Chromium."""
    if shutil.which("chromedriver") is None:
        pytest.skip("no browser: not installed: chromium, chromium-driver")
    from selenium import webdriver  # noqa: PLC0415 - only where there is a browser

    options = webdriver.ChromeOptions()
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    for word in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", profile, *quiet):
        options.add_argument(word)
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield chrome
    finally:
        chrome.quit()


def test_the_page_in_a_browser(browser: Chrome, drive: Drive, first: Mount, one: Path, two: Path) -> None:
    """Look around, pin by a click, and watch a change of another machine arrive."""
    from selenium.webdriver.common.by import By  # noqa: PLC0415

    (one / "<b>photo & co").write_bytes(b"x" * 5000)
    (one / "sub").mkdir()
    converge(first, drive.mounts["two"])

    def shown(name: str) -> str:
        return browser.find_element(By.ID, name).text

    with page(first.environment) as address:
        browser.get(address)
        until(lambda: "online" in shown("connection"), "the state of the mount")
        until(lambda: one.name in shown("entries"), "the top folder")
        browser.find_element(By.XPATH, f"//button[text()='{one.name}/']").click()
        until(lambda: "<b>photo & co" in shown("entries"), "the folder with the odd name, as text")
        browser.find_element(By.XPATH, "//tr[contains(., 'photo')]//button[text()='Pin']").click()
        until(lambda: attribute(one / "<b>photo & co", "pin") == "pinned", "the pin")
        (two / "from elsewhere").write_bytes(b"")
        until(lambda: "from elsewhere" in shown("entries"), "what another machine made")
        browser.find_element(By.CSS_SELECTOR, "[data-view=activity]").click()
        until(lambda: "from elsewhere" in shown("events"), "the activity")
        browser.find_element(By.ID, "pause").click()
        until(lambda: "paused" in shown("connection"), "the pause")
        browser.find_element(By.ID, "pause").click()
        until(lambda: "paused" not in shown("connection"), "the end of the pause")
        if keep := os.environ.get("ANCHORFS_KEEP_SCREENSHOTS"):
            browser.save_screenshot(f"{keep}/activity.png")
            browser.find_element(By.CSS_SELECTOR, "[data-view=files]").click()
            until(lambda: "photo" in shown("entries"), "the files")
            browser.save_screenshot(f"{keep}/files.png")
        errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert not errors
