"""What the value of a setting may be, and what is wrong with one that it may not."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "integer", "number", "word", "url", "path", "json", "size", "rate", "duration"]

# AWS CLI v2, `human_readable_to_int` and the rates of transferconfig.py; the unit's case tells bits from bytes.
_SIZE = re.compile(r"[0-9]+ ?(?:[kmgt]i?)?b?", re.IGNORECASE)
_RATE = re.compile(r"[0-9]+(?:\.[0-9]+)? ?(?:[KMGTkmgt]i?)?[Bb](?:/s)?|[0-9]+")
# Rust's humantime, as object_store reads it: "30s", "1m 30s", "500ms".
_DURATION = re.compile(r"(?:[0-9]+ ?[a-zµ]+ ?)+")
_WORDS = {
    "url": "a URL with its scheme",
    "json": "a JSON object",
    "size": "a size like 16MB",
    "rate": "a rate like 25Gb/s",
    "duration": "a duration like 30s",
    "integer": "an integer",
    "number": "a number",
    "string": "any text",
    "path": "a path",
}
_URL = re.compile(r"https?://[^\s/].*", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a setting's value: `words` for kind word, bounds for numbers, `longest` for strings."""

    kind: Kind
    words: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    longest: int | None = None

    @property
    def text(self) -> str:
        """The type for people: `integer, 1 or more`."""
        if self.kind == "word":
            return " | ".join(self.words)
        if self.longest is not None:
            return f"at most {self.longest} characters"
        low, high = self.minimum, self.maximum
        bounds = f", {low} to {high}" if low is not None and high is not None else ""
        bounds = bounds or (f", {low} or more" if low is not None else f", at most {high}" if high is not None else "")
        return _WORDS.get(self.kind, self.kind) + bounds

    def fault(self, value: str) -> str:
        """What is wrong with this value, as the end of a sentence that begins with it; empty when nothing is.

        A client's own leniency is kept: case and spaces around do not count, and an empty value is as good as none.
        """
        text = value.strip()
        if not text or self._holds(text):
            return ""
        if self.kind == "word":
            return f"is none of {', '.join(self.words)}"
        if self.kind in {"integer", "number"} and self._number(text) is not None:
            return f"is {'below' if self._is_low(text) else 'above'} what the client takes: {self.text}"
        return f"is not what the client takes: {self.text}"

    def _holds(self, text: str) -> bool:
        if self.kind == "word":
            return text.lower() in {word.lower() for word in self.words}
        if self.kind in {"integer", "number"}:
            number = self._number(text)
            return number is not None and not self._is_low(text) and (self.maximum is None or number <= self.maximum)
        if self.kind == "string":
            return self.longest is None or len(text) <= self.longest
        if self.kind == "json":
            return _is_json_object(text)
        if self.kind == "path":
            return "://" not in text
        pattern = {"size": _SIZE, "rate": _RATE, "duration": _DURATION, "url": _URL}[self.kind]
        return pattern.fullmatch(text) is not None

    def _number(self, text: str) -> float | None:
        if self.kind == "integer":
            return int(text) if _INTEGER.fullmatch(text) else None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def _is_low(self, text: str) -> bool:
        number = self._number(text)
        return number is not None and self.minimum is not None and number < self.minimum


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
