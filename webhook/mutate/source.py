"""Where a model comes from: what the policy's rule reads in the pod, held against what the policy allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, assert_never

from webhook.cel import Activation, FailedEvaluation
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.policy.allow import allowed, canonical_source
from webhook.policy.model import Model, SourceRule

_SHOWN = 120


class Source(NamedTuple):
    """A source in its canonical spelling, and as it was written."""

    canonical: str
    written: str


class NoSource(NamedTuple):
    """Why there is none. `refused` is what the pod named, where the policy does not allow that."""

    reason: str
    refused: str | None = None


def resolve(
    model: Model, pod: Object, targets: Iterable[Object], activation: Callable[[], Activation]
) -> Source | NoSource:
    """The source of a model for this pod, or why there is none.

    `targets` are the containers that would mount it; only an expression asks for `activation`. What a pod's author
    wrote selects among what `allow` lists, and is used only in the one spelling that was checked.
    """
    written = _written(model.source, pod, targets, activation)
    if isinstance(written, NoSource):
        return written
    canonical = canonical_source(written)
    if canonical is None or not allowed(canonical, model.allow):
        return NoSource(f"source {shown(written)} ({_origin(model.source)}) is not allowed", refused=written)
    return Source(canonical, written)


def shown(text: str) -> str:
    """Text that others wrote, quoted, on one line, and no longer than a reader wants."""
    clipped = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    if clipped.isprintable() and '"' not in clipped and "\\" not in clipped:
        return f'"{clipped}"'
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in clipped) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _written(
    rule: SourceRule, pod: Object, targets: Iterable[Object], activation: Callable[[], Activation]
) -> str | NoSource:
    match rule.kind:
        case "value":
            return rule.text
        case "annotation":
            found = pods.annotation(pod, rule.text)
            return NoSource(f"no source: pod has no annotation {rule.text}") if found is None else found
        case "label":
            found = pods.label(pod, rule.text)
            return NoSource(f"no source: pod has no label {rule.text}") if found is None else found
        case "env":
            found = next((v for c in targets if (v := pods.env_value(c, rule.text)) is not None), None)
            return NoSource(f"no source: no env {rule.text}") if found is None else found
        case "arg":
            found = next((v for c in targets if (v := pods.arg_value(c, rule.text)) is not None), None)
            return NoSource(f"no source: no argument {rule.text}") if found is None else found
        case "expression":
            return _evaluated(rule, activation)
        case _:
            assert_never(rule.kind)


def _evaluated(rule: SourceRule, activation: Callable[[], Activation]) -> str | NoSource:
    assert rule.expression is not None
    try:
        value = rule.expression.value(activation())
    except FailedEvaluation as error:
        return NoSource(f"no source: its expression failed: {shown(str(error))}")
    if not isinstance(value, str):
        return NoSource(f"no source: its expression gave {type(value).__name__}, not a string")
    return value or NoSource("no source: its expression gave an empty string")


def _origin(rule: SourceRule) -> str:
    return (
        "by expression"
        if rule.kind == "expression"
        else f"from {rule.kind} {rule.text}"
        if rule.kind != "value"
        else "value"
    )
