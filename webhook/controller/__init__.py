"""The controller as a process: it follows the cluster, writes the snapshot, and, when elected, labels nodes."""
