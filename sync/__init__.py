"""Moves state between the remote and the cache: pull, hydrate, push."""
