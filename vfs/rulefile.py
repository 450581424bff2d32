"""Where a person's own rules for programs come from."""

from __future__ import annotations

from pathlib import Path

from vfs.config import ConfigError, config_home
from vfs.rules import BUILT_IN, Rule, parse_rules


def read_rules(rules_file: str | None, environment: dict[str, str]) -> tuple[Rule, ...]:
    """Which programs may fetch: those of the file, else of XDG_CONFIG_HOME/anchorfs/hydration.rules; then ours.

    ConfigError when the named file cannot be read, or a line is no rule.
    """
    path = Path(rules_file).expanduser() if rules_file else config_home(environment) / "hydration.rules"
    try:
        return (*parse_rules(path.read_text(encoding="utf-8"), str(path)), *BUILT_IN)
    except FileNotFoundError:
        if rules_file is None:
            return BUILT_IN
        raise ConfigError(f"hydration_rules={rules_file}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"hydration rules: {error}") from error
