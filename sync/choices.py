"""What a person chooses, in words: without the machinery behind them, as every command reads such words."""

from __future__ import annotations

from enum import StrEnum


class Policy(StrEnum):
    """How much of a file is fetched beyond what is read; named as in Windows' Cloud Files."""

    PROGRESSIVE = "progressive"  # open returns at once, reads get their ranges, the rest comes behind
    PARTIAL = "partial"  # only what is read, and what the way of reading announces
    FULL = "full"  # open waits for every byte
    ALWAYS_FULL = "always-full"  # and every file is brought as soon as it is known, while there is room

    @property
    def waits_for_all(self) -> bool:
        """Whether a file is opened only when every byte is here."""
        return self in {Policy.FULL, Policy.ALWAYS_FULL}


class Keep(StrEnum):
    """Which side of a conflict stays."""

    ORIGINAL = "original"
    COPY = "copy"
    BOTH = "both"
