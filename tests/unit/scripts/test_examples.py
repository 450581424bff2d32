"""Examples to copy name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from server_stub import metrics
from vfs.cli.figures import exposition

EXAMPLES = Path(__file__).resolve().parents[3] / "scripts/examples"
REPORT: dict[str, object] = {"mountpoint": "/m", "connection": "online", "paused": False, "pins": {}}


def test_the_dashboard_asks_for_metrics_that_are_told() -> None:
    told = set(re.findall(r"^# TYPE (\w+)", exposition([REPORT]), re.MULTILINE)) | {"anchorfs_requests_total"}
    assert '"anchorfs_requests"' in Path(metrics.__file__).read_text()
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    asked = {name for panel in board["panels"] for name in re.findall(r"anchorfs_\w+", panel["targets"][0]["expr"])}
    assert len(asked) > 8
    assert asked <= told


def test_the_examples_use_commands_and_options_that_there_are() -> None:
    from typer.main import get_command  # noqa: PLC0415

    from vfs.cli.app import make_app  # noqa: PLC0415

    known = set(get_command(make_app()).commands)  # type: ignore[attr-defined]
    texts = [path.read_text() for path in EXAMPLES.iterdir() if path.suffix != ".json"]
    used = {word for text in texts for word in re.findall(r"anchorfs (run|stats|mount|unmount|status|sync)\b", text)}
    assert "run" in used
    assert used <= known
