"""What is wrong with a policy file, said so that a person can mend it: where, what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
"""An error keeps a policy from doing what it says; a warning is probably not meant; an info is good to know."""


CODES: dict[str, str] = {
    "P001": "not text that a policy file may hold: not UTF-8, a byte order mark, NUL or another control character",
    "P002": "not YAML",
    "P003": "a key is given twice",
    "P004": "YAML that readers disagree about (0644), or that is not supported: tags, merge keys, odd aliases",
    "P005": "larger, deeper or longer than the limits",
    "P006": "not a document of ours: apiVersion or kind",
    "P007": "a file that is not read: a link out of the policies' directory, or not a regular file, too large",
    "P010": "an unknown field",
    "P011": "a missing field",
    "P012": "a value of the wrong type",
    "P013": "a word that is not among those the field knows",
    "P014": "a value that is not well-formed: a name, path, quantity, pattern",
    "P015": "two entries of one document clash: names, mount paths, volumes",
    "P016": "fields that contradict or need each other: source, allow, sourceVolume",
    "P017": "a volume that is not exactly one source of a type allowed there",
    "P018": "a secret: Warmpod never injects one",
    "P019": "not a label selector",
    "P020": "not CEL",
    "P021": "a CEL variable that is not defined, or not yet",
    "P030": "a second document of one kind and name",
    "P031": "a reference to a document that does not exist",
    "P032": "a reference to a document that was refused",
}
"""Every code of a problem in the documents, and what it means. Codes are never reused."""


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
