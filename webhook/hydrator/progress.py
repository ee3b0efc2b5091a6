"""How far a model is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import time
from collections import deque

from webhook.hydrator.measures import shown_bytes, shown_seconds
from webhook.hydrator.words import Voice, printable

_LINES_APART = 5.0  # seconds between lines of a log
_FRAMES_APART = 0.1
_LOOK_BACK = 10.0  # seconds over which a rate is measured
_BAR = 10  # characters
_SHORTEST_NAME = 12


class Display:
    """Shows one model after the other. `mode`: `bar`, `lines`, `none`, or `auto` for what suits the terminal."""

    def __init__(self, voice: Voice, mode: str) -> None:
        if mode == "auto":
            mode = "bar" if voice.is_terminal else "lines"
        self._voice = voice
        self._mode = mode
        self._what = ""
        self._next = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._is_drawn = False

    def begin(self, what: str) -> None:
        """From now on it is `what` (`downloading s3://b/m/`) that is shown, at once."""
        if what != self._what:
            self._what = what
            self._next = 0.0
            self._samples.clear()

    def show(self, done: int, total: int, rate: float | None = None, note: str = "") -> float:
        """So many bytes of so many are there; at `rate` bytes a second, measured here where none is given. The rate.

        `note` is what else there is to say.
        """
        now = time.monotonic()
        if rate is None:
            rate = self._rate(now, done)
        if now < self._next or self._mode == "none":
            return rate
        share = min(1.0, done / total) if total else 1.0
        size, percent, pace = f"{shown_bytes(done)} of {shown_bytes(total)}", f"{int(share * 100)} %", ""
        if rate > 0:
            pace = f", {shown_bytes(rate)}/s, {shown_seconds(max(0, total - done) / rate)} left"
        elif done < total and self._is_still(now):
            pace = ", nothing arrives"
        if note:
            pace += f", {note}"
        full = int(share * _BAR)
        bar = f"[{'=' * full}{' ' * (_BAR - full)}]"
        self._put(now, f"{size} ({percent}){pace}", f"{size} {bar} {percent}{pace}")
        return rate

    def wait(self, text: str) -> None:
        """Nothing is known but that it takes time."""
        now = time.monotonic()
        if now >= self._next and self._mode != "none":
            self._put(now, text, text)

    def clear(self) -> None:
        """Make room for lines that stay."""
        if self._is_drawn:
            self._voice.write("\r\x1b[K")
            self._is_drawn = False

    def end(self, text: str) -> None:
        """The one line that stays."""
        self.clear()
        self._what = ""
        if self._mode != "none":
            self._voice.line(text)

    def _put(self, now: float, text: str, drawn: str) -> None:
        if self._mode == "lines":
            self._next = now + _LINES_APART
            self._voice.line(f"{self._what}: {text}")
            return
        self._next = now + _FRAMES_APART
        line = _fitting(printable(self._what), (drawn, text), _width(self._voice.descriptor))
        self._voice.write(f"\r{line}\x1b[K")
        self._is_drawn = True

    def _rate(self, now: float, done: int) -> float:
        samples = self._samples
        if not samples or now - samples[-1][0] >= _FRAMES_APART:
            samples.append((now, done))
        while len(samples) > 2 and now - samples[1][0] > _LOOK_BACK:
            samples.popleft()
        then, had = samples[0]
        return max(0, done - had) / (now - then) if now - then > 0.2 else 0.0

    def _is_still(self, now: float) -> bool:
        return bool(self._samples) and now - self._samples[0][0] > _LOOK_BACK / 2


def _width(descriptor: int) -> int:
    try:
        return os.get_terminal_size(descriptor).columns or 80  # 0: the terminal does not know
    except OSError:
        return 80


def _fitting(name: str, texts: tuple[str, ...], width: int) -> str:
    """A line that does not wrap: with the first of the texts that leaves room for some of the name, else the last."""
    for text in texts:
        line = f"{name}: {text}"
        if len(line) < width:
            return line
        room = width - 1 - len(f"...: {text}")
        if room >= _SHORTEST_NAME:
            return f"{name[: room - room // 2]}...{name[len(name) - room // 2 :]}: {text}"
    return texts[-1][: max(0, width - 1)]
