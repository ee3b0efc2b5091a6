"""S3 clients: which settings each of them reads, and which of them a container runs."""
