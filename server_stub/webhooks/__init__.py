"""Webhooks: hints to pull, posted to whoever asked for them; signed as in Standard Webhooks."""
