"""The benches behind scripts/bench: one module each, over a common way to start, measure and tell."""
