"""One thing that is wrong with a text inside of a document: user data, and the parts of user data."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, where in the text (`line` and `column` count from 1), and what to do.

    `code` is one of lint's (`N...`) or of reading (`P...`); docs/lint.md has a section for each.
    """

    code: str
    message: str
    hint: str = ""
    line: int = 1
    column: int = 1

    def below(self, line: int) -> Fault:
        """Return the same in a text of which this one begins at `line`."""
        return replace(self, line=self.line + line - 1)
