"""Kubernetes' shapes as plain data. Pure: no I/O, no clock, no logging."""

from typing import Any

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as decoded JSON. Never edited in place: whoever changes one builds another."""
