"""Arguments and variables that name a model's source: they now name the path it is mounted at."""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Set as AbstractSet
from typing import Any

from webhook.mutate.draft import Draft
from webhook.mutate.source import Source


def redirect(draft: Draft, source: Source, path: str, targets: Container[str]) -> None:
    """Let the target containers say `path` where they said the source, whole or after `--flag=`.

    A slash at the end makes no difference. Texts are compared as they stand: nothing inside a longer text is touched,
    and a `$(VAR)` follows the variable it names.
    """
    bare = {source.canonical.rstrip("/"), source.written.rstrip("/")}
    spellings = bare | {f"{text}/" for text in bare}
    for room in draft.chosen(targets):
        for field in ("command", "args"):
            before = room.values(field)
            after = [_replaced(value, spellings, path) for value in before]
            if after != before:
                room.put(field, after)
        env = room.env
        named = [index for index, entry in enumerate(env) if _names(entry.get("value"), spellings)]
        if named:
            after = env.copy()
            for index in named:
                after[index] = {**env[index], "value": path}
            room.put("env", after)


def _names(value: Any, spellings: AbstractSet[str]) -> bool:
    return type(value) is str and value in spellings


def _replaced(value: Any, spellings: AbstractSet[str], path: str) -> Any:
    if type(value) is not str:
        return value
    if value in spellings:
        return path
    flag, equals, rest = value.partition("=")
    return f"{flag}={path}" if equals and rest in spellings and flag.startswith("-") else value
