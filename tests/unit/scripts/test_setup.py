"""What scripts/setup does around the installation of Samba: nothing of it may come up on this machine's network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[3] / "scripts" / "setup"
_STUBS = """
set -euo pipefail
as_root() { "$@"; }
systemctl() { echo "systemctl $*" >>"$told"; }
update-rc.d() { echo "update-rc.d $*" >>"$told"; }
apt_install() { cp "$policy" "$copy"; [ "$*" != broken ] || exit 1; }
"""


def install(folder: Path, package: str) -> int:
    """Run the part of the script that installs Samba, with everything that would touch the machine replaced."""
    text = SETUP.read_text()
    names = "forbid_starting|allow_starting|disable_samba|install_quietly"
    functions = re.findall(rf"^(?:{names})\(\) \{{\n.*?^\}}", text, re.MULTILINE | re.DOTALL)
    written = re.search(r"^our_policy='.*?'$", text, re.MULTILINE | re.DOTALL)
    assert written is not None
    assert len(functions) == 4
    places = f"policy={folder}/policy copy={folder}/copy told={folder}/told\n"
    script = "\n".join((places, _STUBS, written[0], *functions, f"install_quietly {package}"))
    return subprocess.run(["bash", "-c", script], check=False, stdout=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(("package", "status"), [("samba", 0), ("broken", 1)])
def test_nothing_is_started_while_samba_is_installed(tmp_path: Path, package: str, status: int) -> None:
    for _ in range(2):
        assert install(tmp_path, package) == status
        policy = tmp_path / "copy"
        policy.chmod(0o755)
        assert subprocess.run([policy, "smbd", "start"], check=False).returncode == 101  # "action forbidden by policy"
        assert not (tmp_path / "policy").exists()
        (tmp_path / "policy").write_text(policy.read_text())  # left by a run that was killed


def test_a_policy_of_the_administrator_stays(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("#!/bin/sh\nexit 0\n")
    assert install(tmp_path, "samba") == 0
    assert (tmp_path / "policy").read_text() == "#!/bin/sh\nexit 0\n"


def test_a_demo_asks_for_no_package_that_only_the_tests_need(tmp_path: Path) -> None:
    text = SETUP.read_text()
    functions = re.findall(r"^missing_\w+\(\) \{\n.*?^\}", text, re.MULTILINE | re.DOTALL)
    assert len(functions) == 3
    bare = f"command() {{ return 1; }}\ncompgen() {{ return 1; }}\nvenv={tmp_path}\n"
    asked = {}
    for scope in ("run", "all"):
        script = "\n".join((bare, *functions, f"scope={scope}", "missing_packages ''"))
        done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True)
        asked[scope] = set(done.stdout.split())
    assert asked["run"] == {"fuse3", "gcc", "pkg-config", "libfuse3-dev"}
    assert asked["run"] | {"strace", "iproute2", "smbclient"} <= asked["all"]
