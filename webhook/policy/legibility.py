"""Whether a file holds a policy file's characters, before anything parses it; and how to show a stranger's text."""

from __future__ import annotations

import re

from webhook.policy.problem import Problem, Source

MAX_FILE_BYTES = 1 << 20

# What YAML may not hold (1.2.2, section 5.1), and what some readers take for a line end and others do not.
_UNREADABLE = re.compile(
    "\r(?!\n)|[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def illegible(source: Source) -> Problem | None:
    """Return what keeps this file from being read as text, or None."""
    text = source.text
    if source.refused:
        return Problem("P007", "error", source.file, 1, 1, "", source.refused)
    if len(text) > MAX_FILE_BYTES or (not text.isascii() and len(text.encode("utf-8", "replace")) > MAX_FILE_BYTES):
        return Problem(
            "P005", "error", source.file, 1, 1, "", f"the file is larger than {MAX_FILE_BYTES >> 20} MiB", "split it"
        )
    match = _UNREADABLE.search(text)
    if match is None:
        return None
    character, index = match.group(), match.start()
    if character == "\ufeff" and index == 0:
        code, message, hint = "P001", "the file begins with a byte order mark", "save it as UTF-8 without one"
    elif "\udc80" <= character <= "\udcff":  # how bytes that do not decode arrive (surrogateescape)
        code, message, hint = "P001", f"byte 0x{ord(character) - 0xDC00:02x} is not UTF-8", "save the file as UTF-8"
    else:
        code, message, hint = "P001", f"character U+{ord(character):04X} may not stand in a policy file", "remove it"
    line, column = text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
    return Problem(code, "error", source.file, line, column, "", message, hint)


def shown(text: str, limit: int = 60) -> str:
    """Return a stranger's text fit for one line of a message: no control characters, not endless."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[:limit]}…"
