"""People and programs that go on all the while that a drill lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Threads:
    """`with` it, so many threads do `work(number)` until the block ends, when `pause` says that it is over."""

    def __init__(self, work: Callable[[int], None], count: int, pause: float) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End; what was begun last is done when this returns."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def over(self) -> bool:
        """Wait for a pause; whether the block has ended meanwhile."""
        return self._over.wait(self._pause)
