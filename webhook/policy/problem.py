"""What is wrong with a policy file, said so that a person can mend it: where, what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Source:
    """One policy file as text. `file` is the name that problems carry.

    Bytes that are not UTF-8 arrive as lone surrogates (`errors="surrogateescape"`). `refused` says why a file was not
    read at all (it is a link out of the policies directory, say): then there is no text, only a problem to report.
    """

    file: str
    text: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one place of one file.

    Codes are stable: `P...` from reading documents, `W...` from lint; `docs/policies.md` explains each.
    Lines and columns count from 1. `path` is the field within the document (`spec.models[0].cache`), empty where the
    file itself is at fault.
    """

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """One line: `file:line:column: path: message; hint`."""
        place = f"{self.file}:{self.line}:{self.column}: "
        field = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}{field}{self.message}{hint}"
