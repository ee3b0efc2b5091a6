"""What starting a pod costs in seconds: published figures, and arithmetic on them. It knows nothing of Kubernetes."""
