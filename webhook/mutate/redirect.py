"""Arguments and variables that name a model's source: they now name the path it is mounted at."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any

from webhook.kube import Object
from webhook.mutate import merge
from webhook.mutate.source import Source


def redirect(pod: Object, source: Source, path: str, targets: Collection[str]) -> Object:
    """The pod whose target containers say `path` where they said the source, whole or after `--flag=`.

    A slash at the end makes no difference. Texts are compared as they stand: nothing inside a longer text is touched,
    and a `$(VAR)` follows the variable it names.
    """
    bare = {source.canonical.rstrip("/"), source.written.rstrip("/")}
    spellings = bare | {f"{text}/" for text in bare}

    def edit(container: Object) -> Object:
        changed: Object = {}
        for field in ("command", "args"):
            before = merge.items(container, field)
            after = [_replaced(value, spellings, path) for value in before]
            if after != before:
                changed[field] = after
        env = merge.items(container, "env")
        named = {index for index, entry in enumerate(env) if _names(entry.get("value"), spellings)}
        if named:
            changed["env"] = [{**entry, "value": path} if at in named else entry for at, entry in enumerate(env)]
        return {**container, **changed} if changed else container

    return merge.edit_containers(pod, targets, edit)


def _names(value: Any, spellings: AbstractSet[str]) -> bool:
    return type(value) is str and value in spellings


def _replaced(value: Any, spellings: AbstractSet[str], path: str) -> Any:
    if type(value) is not str:
        return value
    if value in spellings:
        return path
    flag, equals, rest = value.partition("=")
    return f"{flag}={path}" if equals and rest in spellings and flag.startswith("-") else value
