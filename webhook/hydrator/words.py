"""What is said to people: lines on stderr, safe for any terminal and never in the way of the work."""

from __future__ import annotations

import os
from collections.abc import Mapping

from webhook.hydrator.outcome import HydrationError

_COLOURS = {"error": "31", "warning": "33", "hint": "36", "note": "34"}
_MOST = 4000  # characters of one message: names of S3 objects have up to 1,024 bytes, answers of servers any number


class Voice:
    """Speaks to a descriptor. Whoever listens may be gone, slow or a pipe that is full: nothing of that is an error."""

    def __init__(self, descriptor: int = 2, environ: Mapping[str, str] = os.environ) -> None:
        self.descriptor = descriptor
        try:
            self.is_terminal = os.isatty(descriptor) and environ.get("TERM") != "dumb"
        except OSError:
            self.is_terminal = False
        self.has_colour = not environ.get("NO_COLOR") and (self.is_terminal or bool(environ.get("FORCE_COLOR")))

    def say(self, word: str, text: str) -> None:
        """One line `word: text`. The word is coloured on a terminal; the colour says nothing the word does not."""
        head = f"\x1b[1;{_COLOURS[word]}m{word}:\x1b[0m" if self.has_colour else f"{word}:"
        self.write(f"{head} {printable(text)}\n")

    def line(self, text: str) -> None:
        """One line of progress."""
        self.write(f"{printable(text)}\n")

    def fail(self, failure: HydrationError, shown: Exception | None = None) -> None:
        """What went wrong, and what to do about it; before it the traceback of `shown`, if it is another error."""
        if shown is not None and shown is not failure:
            import traceback  # noqa: PLC0415  # rarely wanted

            self.write("".join(traceback.format_exception(shown)))
        self.say("error", failure.message)
        if failure.hint:
            self.say("hint", failure.hint)

    def write(self, text: str) -> None:
        """As it is. What cannot be written is lost: a log that nobody reads must not stop a download."""
        data = text.encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except OSError:
                return


def printable(text: str) -> str:
    """Tenant text made safe for one line of a terminal or a log: what does not print is escaped, the middle is cut."""
    if len(text) > _MOST:
        text = f"{text[: _MOST // 2]} ... {text[-_MOST // 2 :]}"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
