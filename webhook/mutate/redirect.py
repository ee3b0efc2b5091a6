"""Arguments and variables that name a model's source: they now name the path it is mounted at."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from webhook.kube import Object
from webhook.mutate import merge
from webhook.mutate.source import Source


def redirect(pod: Object, source: Source, path: str, targets: Collection[str]) -> Object:
    """The pod whose target containers say `path` where they said the source, whole or after `--flag=`.

    A slash at the end makes no difference. Texts are compared as they stand: nothing inside a longer text is touched,
    and a `$(VAR)` follows the variable it names.
    """
    spellings = frozenset({source.canonical.rstrip("/"), source.written.rstrip("/")})

    def replaced(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.rstrip("/") in spellings:
            return path
        flag, equals, rest = value.partition("=")
        if equals and flag.startswith("-") and rest.rstrip("/") in spellings:
            return f"{flag}={path}"
        return value

    def edit(container: Object) -> Object:
        changed: Object = {}
        for field in ("command", "args"):
            before = merge.items(container, field)
            after = [replaced(value) for value in before]
            if after != before:
                changed[field] = after
        env = merge.items(container, "env")
        if any(is_source(entry) for entry in env):
            changed["env"] = [{**entry, "value": path} if is_source(entry) else entry for entry in env]
        return {**container, **changed} if changed else container

    def is_source(entry: Object) -> bool:
        value = entry.get("value")
        return isinstance(value, str) and value.rstrip("/") in spellings

    return merge.edit_containers(pod, targets, edit)
