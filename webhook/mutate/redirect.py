"""Arguments and variables that name a model's source: they now name the path it is mounted at."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from webhook.mutate.draft import Draft
from webhook.mutate.source import Source


def redirect(draft: Draft, source: Source, path: str, targets: Container[str]) -> None:
    """Let the target containers say `path` where they said the source, whole or after `--flag=`.

    A slash at the end makes no difference. Texts are compared as they stand: nothing inside a longer text is touched,
    and a `$(VAR)` follows the variable it names.
    """
    stem = source.canonical.rstrip("/")
    written = source.written.rstrip("/")
    spellings = {stem, f"{stem}/", written, f"{written}/"}
    for room in draft.chosen(targets):
        for field in ("command", "args"):
            before = room.values(field)
            # Most words have nothing to do with it: they are told apart without a call for each.
            if [word for word in before if type(word) is str and (stem in word or written in word)]:
                after = [_replaced(word, spellings, path) for word in before]
                if after != before:
                    room.put(field, after)
        env = room.env
        named = [at for at, entry in enumerate(env) if type(v := entry.get("value")) is str and v in spellings]
        if named:
            changed = env.copy()
            for at in named:
                changed[at] = {**env[at], "value": path}
            room.put("env", changed)


def _replaced(word: Any, spellings: set[str], path: str) -> Any:
    if type(word) is not str:
        return word
    if word in spellings:
        return path
    flag, equals, rest = word.partition("=")
    return f"{flag}={path}" if equals and rest in spellings and flag.startswith("-") else word
