"""Adapters: one module or package per kind of remote, each an implementation of `sync.remote.Remote`."""
