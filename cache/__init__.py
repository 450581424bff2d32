"""What this machine holds: the item tree, the outbox, the cached bytes. No network here."""
