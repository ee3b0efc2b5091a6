"""Why a policy passed a pod over: the condition or selector that did it, and the values of what it read in this pod."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webhook.admission.decision import Facts, PolicyVerdict
from webhook.cel import Reads, together
from webhook.cel.expression import EACH
from webhook.kube import pod as pods
from webhook.kube.review import AdmissionRequest
from webhook.kube.selector import LabelSelector
from webhook.policy.model import Condition, Policy

MOST_VALUES: Final = 16
"""Of one condition; a pod of many containers has more than anybody reads."""

_LONGEST: Final = 160
_ABSENT: Final = object()

Clean = Callable[[str, str], str]
"""What may be shown of a text, by the name of what holds it: a field, a key, a variable."""


@dataclass(frozen=True, slots=True)
class Value:
    """A field that was read, and what stands there: JSON, `absent`, or what is wanted of it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What decided. `expression` is empty where it was a selector; `name` is the condition's."""

    name: str
    expression: str = ""
    values: tuple[Value, ...] = ()
    more: int = 0
    """Values that were read besides."""
    variables: tuple[tuple[str, str], ...] = ()
    """Those of the policy's variables that it needs, with their expressions, as the policy has them in order."""


def cause(
    policy: Policy, verdict: PolicyVerdict, request: AdmissionRequest, facts: Facts, clean: Clean
) -> Cause | None:
    """What made the policy skip, or fail on, this pod; None where the verdict's reason says all there is."""
    if verdict.result == "matched" or request.object is None:
        return None
    reason = verdict.reason
    for condition in policy.conditions:
        if reason == f"condition {condition.name} is false" or reason.startswith(f"condition {condition.name}: "):
            return _read_by(policy, condition, request, facts, clean)
    if reason.startswith("objectSelector") and policy.object_selector is not None:
        return Cause("objectSelector", values=tuple(_unmet(policy.object_selector, pods.labels(request.object))))
    if reason.startswith("namespaceSelector") and policy.namespace_selector is not None:
        labels = facts.namespace_labels
        values = () if labels is None else tuple(_unmet(policy.namespace_selector, labels))
        return Cause("namespaceSelector", values=values)
    return None


def values_read(reads: Reads, roots: Mapping[str, Any], clean: Clean) -> Iterator[Value]:
    """What stands at every place that is read, in the order of reading."""
    for name, inner in reads.items():
        if name in roots:
            yield from _walk(name, inner, roots[name], clean, name)


def roots_of(request: AdmissionRequest, facts: Facts) -> dict[str, Any]:
    """The variables of expressions that hold documents; `variables` are told by what they read themselves."""
    labels = facts.namespace_labels
    namespace = None if labels is None else {"metadata": {"name": request.namespace, "labels": dict(labels)}}
    return {
        "object": request.object,
        "oldObject": request.old_object,
        "request": {key: value for key, value in request.raw.items() if key not in ("object", "oldObject")},
        "namespaceObject": namespace,
        "inventory": {"nodes": len(facts.inventory.nodes), "usable": facts.placement_usable},
    }


def _read_by(policy: Policy, condition: Condition, request: AdmissionRequest, facts: Facts, clean: Clean) -> Cause:
    expressions = {each.name: each.expression for each in policy.variables}
    pending, seen = list(condition.expression.references), set[str]()
    reads = [condition.expression.reads]
    while pending:
        name = pending.pop()
        if name not in seen and name in expressions:
            seen.add(name)
            reads.append(expressions[name].reads)
            pending += expressions[name].references
    found = list(dict.fromkeys(values_read(together(reads), roots_of(request, facts), clean)))
    more = max(len(found) - MOST_VALUES, 0)
    needed = tuple((each.name, each.expression.source) for each in policy.variables if each.name in seen)
    return Cause(condition.name, condition.expression.source, tuple(found[:MOST_VALUES]), more, needed)


def _walk(path: str, reads: Reads | None, value: Any, clean: Clean, name: str) -> Iterator[Value]:
    if value is _ABSENT:
        yield Value(path, "absent")
    elif reads is None or type(value) not in (dict, list):
        yield Value(path, _shown(value, clean, name))
    elif not reads:
        yield Value(path, f"{len(value)} entries" if type(value) is list else "there")
    elif type(value) is list:
        yield from _each(path, reads, value, clean, name)
    else:
        if EACH in reads:
            yield Value(path, _clipped(", ".join(map(str, value)) or "{}"))
        owner = value.get("name") if set(value) <= {"name", "value", "valueFrom"} else None
        for key, inner in reads.items():
            if key != EACH:
                known = str(owner) if key == "value" and owner is not None else key
                yield from _walk(f"{path}{_step(key)}", inner, value.get(key, _ABSENT), clean, known)


def _each(path: str, reads: Reads, value: list[Any], clean: Clean, name: str) -> Iterator[Value]:
    if not value:
        yield Value(path, "[]")
    inner = reads.get(EACH, {})
    for index, entry in enumerate(value):
        label = entry.get("name") if type(entry) is dict else None
        place = f"{path}[{label if isinstance(label, str) and label else index}]"
        if not (inner and set(inner) == {"name"}):  # its name is in the path
            yield from _walk(place, inner, entry, clean, name)
        else:
            yield Value(place, "there")


def _step(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def _shown(value: Any, clean: Clean, name: str) -> str:
    try:
        return _clipped(json.dumps(_cleaned(value, clean, name), ensure_ascii=False))
    except RecursionError:
        return "(nested too deep to be shown)"


def _cleaned(value: Any, clean: Clean, name: str) -> Any:
    if type(value) is str:
        return clean(name, value)
    if type(value) is list:
        return [_cleaned(each, clean, name) for each in value]
    if type(value) is dict:
        variable = value.get("name")
        return {
            key: _cleaned(each, clean, str(variable) if key == "value" and variable is not None else str(key))
            for key, each in value.items()
        }
    return value


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _unmet(selector: LabelSelector, labels: Mapping[str, str]) -> Iterator[Value]:
    """The requirements that these labels do not meet."""
    for key, wanted in selector.equal:
        if labels.get(key) != wanted:
            yield Value(f"label {key}", f"{_had(labels, key)}, wanted {json.dumps(wanted)}")
    for key, operator, values in selector.expressions:
        if not LabelSelector(expressions=((key, operator, values),)).matches(labels):
            among = f" {_listed(sorted(values))}" if values else ""
            yield Value(f"label {key}", f"{_had(labels, key)}, wanted {operator}{among}")


def _had(labels: Mapping[str, str], key: str) -> str:
    return json.dumps(labels[key]) if key in labels else "absent"


def _listed(values: Iterable[str]) -> str:
    return _clipped(f"({', '.join(values)})")
