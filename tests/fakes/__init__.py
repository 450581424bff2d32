"""Fakes: whole implementations in memory, not mocks."""
