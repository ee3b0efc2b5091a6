"""The decision: what becomes of one pod. Pure: no I/O, no clock, no logging."""
