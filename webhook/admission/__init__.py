"""The decision: what becomes of one pod. Pure: no I/O, no clock, no logging."""

from webhook.admission.decide import admit

__all__ = ["admit"]
