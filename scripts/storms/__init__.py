"""Chaos with real processes: what is done to a drive, and what must be true of it afterwards."""
