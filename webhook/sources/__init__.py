"""The edges that read: policy files and the snapshot file."""
