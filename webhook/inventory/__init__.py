"""What the nodes hold, as one value. Pure: no I/O, no clock, no logging."""
