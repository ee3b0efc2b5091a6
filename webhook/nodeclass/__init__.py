"""Karpenter node classes and the user data of nodes: what they say of local disks, pulls and caches."""
