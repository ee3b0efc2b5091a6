"""The webhook as a process: HTTP, TLS, metrics, reloads. The only part that answers an API server."""
