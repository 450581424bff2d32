"""What `pipx install .` and `uv tool install .` install: a wheel whose commands work outside this checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the commands; the libraries are those of these tests."""
    folder = tmp_path_factory.mktemp("install")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        CHECKOUT,
    ]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("anchorfs-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"cache/schema.sql", "server_stub/schema.sql", "vfs/ui/static/index.html", "vfs/ui/static/app.js"} <= names
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    # Behind the new environment's own packages: what is installed there wins over the checkout.
    Path(site, "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "venv/bin"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["anchorfs", "--version"], "anchorfs 0."),
        (["anchorfs", "manual"], ".TH ANCHORFS 1"),
        (["anchorfs", "service", "print"], "Type=notify"),
        (["anchorfs-server", "--help"], "serve"),
    ],
)
def test_the_commands_work(installed: Path, tmp_path: Path, words: list[str], told: str) -> None:
    done = subprocess.run([installed / words[0], *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, told in done.stdout) == (0, True), done.stderr


def test_the_helper_of_mount_is_there(installed: Path) -> None:
    done = subprocess.run([installed / "mount.anchorfs"], capture_output=True, text=True, check=False)
    assert (done.returncode, "usage: mount.anchorfs URL DIR" in done.stderr) == (1, True)


def test_the_code_is_the_installed_one(installed: Path, tmp_path: Path) -> None:
    where = [installed / "python", "-c", "import vfs; print(vfs.__file__)"]
    done = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed.parent) in done.stdout
