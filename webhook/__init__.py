"""Warmpod: GPU pods that start warm on Kubernetes. Importing this runs nothing."""

__version__ = "0.1.0"
