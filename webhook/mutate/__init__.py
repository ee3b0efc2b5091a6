"""Edits of pods: a pod goes in, a pod comes out, and the one that went in stays as it was. Pure."""
