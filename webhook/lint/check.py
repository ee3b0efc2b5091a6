"""What a check of lint is: it looks at all policies, and yields what should be looked at, with the document it is in.

A module of checks has two tables, and `lint.MODULES` names the module. Codes stand in one module each:

    CODES: Codes = {"W035": ("warning", "an environment variable that no client reads")}
    CHECKS: tuple[Check, ...] = (_unread,)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from webhook.kube import Object
from webhook.policy.model import Origin, PolicySet
from webhook.policy.problem import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is sound but probably not meant.

    `path` is the field (`spec.models[0].cache`); a path that the file does not spell out stands for the nearest field
    around it. `within` is a line and a column, from 1, inside the text at the path: a place in a CEL expression. With
    `on_key` the place is that of the field's name instead of its value.
    """

    code: str
    path: str
    message: str
    hint: str = ""
    within: tuple[int, int] | None = None
    on_key: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A pod that policies are held against, as it would be sent. `source` is where it is from, for people to read.

    `namespace_labels` None: nobody says which labels the namespace has.
    """

    source: str
    pod: Object
    namespace: str = "default"
    namespace_labels: Mapping[str, str] | None = None


Manifests = tuple[Manifest, ...]
"""Pods of the cases beside the policies and of `--with`; there may be none."""

Check = Callable[[PolicySet, Manifests], Iterator[tuple[Origin, Finding]]]
"""Yields findings with the `origin` of the document that each is in. Never raises, whatever the policies are."""

Codes = Mapping[str, tuple[Severity, str]]
"""By code: how severe it is, and its subject in a few words. Codes are never reused."""
