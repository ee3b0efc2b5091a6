"""How a check on a document says what is wrong, and how checks run beside pydantic's own instead of after them.

Pydantic stops at a field's type before it asks anything else. A person wants every fault of a file at once, so checks
that look at several fields read the raw data, and their findings join the errors of the fields (`beside`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

Path = tuple[str | int, ...]

KIND = "warmpod"
"""The type of the pydantic errors that carry findings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `at` leads from where the check stands to the field; `within` is a line and column inside its text."""

    code: str
    message: str
    hint: str = ""
    at: Path = ()
    within: tuple[int, int] | None = None
    on_key: bool = False


def refusal(*findings: Finding, fields: ValidationError | None = None) -> PydanticCustomError:
    """Return the exception by which a validator hands over findings, with the errors of the fields below, if any."""
    inner = fields.errors(include_url=False) if fields else []
    return PydanticCustomError(KIND, "see ctx", {"findings": findings, "inner": inner})


def run_beside(raw: Any, handler: ValidatorFunctionWrapHandler, findings: Iterable[Finding]) -> Any:
    """Validate, then raise the fields' errors and the findings together."""
    found = tuple(findings)
    try:
        value = handler(raw)
    except ValidationError as error:
        if not found:
            raise
        raise refusal(*found, fields=error) from None
    if found:
        raise refusal(*found)
    return value


def beside(check: Callable[[Any], Iterable[Finding]]) -> WrapValidator:
    """Make a validator of a check on raw data. The check must bear any type."""
    return WrapValidator(lambda raw, handler: run_beside(raw, handler, check(raw)))


def unique(field: str) -> WrapValidator:
    """No two mappings of a list may share this field's value."""

    def check(raw: Any) -> Iterator[Finding]:
        first: dict[str, int] = {}
        for index, item in enumerate(raw if isinstance(raw, list) else []):
            value = item.get(field) if isinstance(item, dict) else None
            if not isinstance(value, str):
                continue
            if value in first:
                message = f'"{value}" is already the {field} of entry {first[value]}'
                yield Finding("P015", message, "rename or remove one", (index, field))
            first.setdefault(value, index)

    return beside(check)


def distinct(noun: str) -> WrapValidator:
    """No string may stand in a list twice."""

    def check(raw: Any) -> Iterator[Finding]:
        items = raw if isinstance(raw, list) else []
        for index, item in enumerate(items):
            if isinstance(item, str) and item in items[:index]:
                yield Finding("P015", f'the {noun} "{item}" is listed twice', "remove one", (index,))

    return beside(check)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?` for a near miss, else what there is to choose from."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word[:80].lower(), folded, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{folded[near[0]]}"?'
    return f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if names else ""
