"""Serving certificates. Knows nothing of webhooks."""
