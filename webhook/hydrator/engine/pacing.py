"""A rate that all workers share: tokens that come through a pipe as fast as bytes may."""

from __future__ import annotations

import os
import time
from array import array
from fcntl import ioctl
from termios import FIONREAD

_TICKETS_PER_SECOND = 500
_SMALLEST = 1 << 16
_BURST = 0.25  # seconds of tokens that may wait


class Pacer:
    """Made before the fork. The parent calls `drip` often; threads call `take`, each with an account of its own."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._token = max(_SMALLEST, int(rate / _TICKETS_PER_SECOND))  # bytes
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._due = 0.0  # tokens
        self._dripped = time.monotonic()

    def drip(self) -> None:
        """Hand out what has become due since the last call."""
        now = time.monotonic()
        self._due += (now - self._dripped) * self._rate / self._token
        self._dripped = now
        count = int(self._due)
        if not count:
            return
        self._due -= count
        waiting = array("i", [0])
        ioctl(self._reading, FIONREAD, waiting)
        room = max(1, int(_BURST * self._rate / self._token)) - waiting[0]
        if room > 0:
            os.write(self._writing, bytes(min(count, room)))

    def take(self, account: int, wanted: int) -> int:
        """Wait until `account` covers `wanted` bytes; answer what remains of it."""
        while account < wanted:
            account += self._token * len(os.read(self._reading, -(-(wanted - account) // self._token)))
        return account - wanted

    def close(self) -> None:
        """Close the pipe, in the parent."""
        os.close(self._reading)
        os.close(self._writing)
