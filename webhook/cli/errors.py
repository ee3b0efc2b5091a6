"""How a command ends: the exit codes, and the one exception that carries a message to the person at the terminal."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import IO, Any

import click


class ExitCode(IntEnum):
    """What scripts may rely on; the same for every command."""

    OK = 0
    FINDINGS = 1
    COULD_NOT_RUN = 2
    NOTHING_TO_DO = 3
    INTERRUPTED = 130


class CouldNotRun(click.ClickException):
    """The command cannot do its job: `message` says what and where, `hint` what to do about it."""

    exit_code = ExitCode.COULD_NOT_RUN

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Write `error: ...` to stderr, and a `hint: ...` line after a blank one where there is a hint."""
        say("error", self.message, file)
        if self.hint:
            click.echo(file=file, err=True)
            say("hint", self.hint, file)


COLOURS = {"error": "red", "warning": "yellow", "info": "blue", "hint": "cyan", "note": "blue"}


def say(word: str, text: str, file: IO[Any] | None = None) -> None:
    """Write `word: text` to stderr. The word is coloured on a terminal; the colour says nothing the word does not."""
    prefix = click.style(f"{word}:", fg=COLOURS[word], bold=True)
    click.echo(f"{prefix} {printable(text)}", file=file, err=True)


def colour_wanted() -> bool | None:
    """False with NO_COLOR (no-color.org), True with FORCE_COLOR, None to let the terminal decide."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def printable(text: str) -> str:
    """Tenant text made safe for a terminal: control, bidirectional and unencodable characters as escapes.

    Line breaks stay, so that messages of several lines keep their shape.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    shown = "".join(
        character if character.isprintable() or character == "\n" else _escape(character) for character in text
    )
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
