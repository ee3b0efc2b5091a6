"""The webhook as a process: reviews over TLS, metrics, reloads. The only part that answers an API server."""
