"""scripts/bench report: one page of all results that are kept, with the plots drawn anew from their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benches.delta import plots, results
from scripts.benches.running import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

KEPT = CHECKOUT / "scripts" / "bench-results"
PAGE = "REPORT.md"
_HEAD = """# All kept results

Made by `scripts/bench report` from the files beside it; [README.md](README.md) says how each is measured.
"""


def write(folder: Path = KEPT) -> Path:
    """The page's path."""
    parts = [_HEAD]
    for table in sorted(folder.glob("*.md")):
        if table.name in {PAGE, "README.md"}:
            continue
        text = table.read_text(encoding="utf-8").replace("\n# ", "\n## ")
        parts.append(f"#{text}" if text.startswith("# ") else text)
        parts += [f"![{file.stem}]({file.name})\n" for file in _drawn(table.with_suffix(".json"))]
    page = folder / PAGE
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _drawn(kept: Path) -> list[Path]:
    """The plot to show; both forms are drawn."""
    if kept.name != "delta.json" or not kept.exists():
        return []
    return plots.draw(results.read(kept), kept.with_suffix(""))[:1]
