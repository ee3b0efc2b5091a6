"""How far a command is that takes its time: a bar on a terminal, now and then a line in a log, nothing when quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Final, Self, TypeVar

from webhook.cli.errors import colour_wanted, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")

#: Seconds that a command may take in silence, and seconds between two lines where there is no terminal.
PATIENCE: Final = 1.0
BETWEEN_LINES: Final = 10.0


def tracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The same items, and on stderr how many of them have been dealt with. `what` names them: `reviews`."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Bar(what, total) as bar:
        for item in items:
            yield item
            bar.advance()


class Bar:
    """The same for work that is not a loop: `advance` says that so much more is done.

    It shows nothing in the first second. `clock` gives seconds.
    """

    def __init__(self, what: str, total: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._done = 0
        self._next = 0.0
        self._shown: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._next = self._clock() + (PATIENCE if sys.stderr.isatty() else BETWEEN_LINES)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown is not None:
            self._shown.stop()

    def advance(self, by: int = 1) -> None:
        """So many more are done."""
        self._done += by
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, completed=self._done)
        elif self._clock() >= self._next:
            self._show()

    def _show(self) -> None:
        if not sys.stderr.isatty():
            self._next = self._clock() + BETWEEN_LINES
            of = "" if self._total is None else f" of {self._total:,}"
            say("note", f"{self._done:,}{of} {self._what}")
            return
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True, no_color=colour_wanted() is False)
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        self._shown = progress.Progress(*columns, console=console, transient=True)
        self._task = self._shown.add_task(self._what, total=self._total, completed=self._done)
        self._shown.start()
