"""The algebra of node selectors: terms are OR-ed, the requirements inside one term are AND-ed.

Semantics of k8s.io/component-helpers/scheduling/corev1/nodeaffinity: a term without requirements selects nothing, and
so does a malformed one. A pod's `nodeSelector` is AND-ed by the scheduler beside all this and is not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webhook.kube import Object
from webhook.kube import pod as pods

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_INT64 = 2**63


def required_terms(pod: Object) -> list[Object]:
    """The terms of the pod's required node affinity; empty when it requires nothing.

    A required affinity that can select no node at all (no terms, or malformed ones) is given as empty terms, which
    select nothing, so that `selects(required_terms(pod), ...)` is always the truth.
    """
    node = pods.mapping(pods.mapping(pods.spec(pod).get("affinity")).get("nodeAffinity"))
    required = node.get(_REQUIRED)
    if required is None:
        return []
    terms = pods.mapping(required).get("nodeSelectorTerms")
    if type(terms) is not list or not terms:
        return [{}]
    return [term if type(term) is dict else {} for term in terms]


def selects(terms: Sequence[Object], labels: Mapping[str, str], name: str = "") -> bool:
    """Whether a node of these labels and this name satisfies at least one term. No terms at all: every node does."""
    return not terms or any(_term_selects(term, labels, name) for term in terms)


def holds(requirement: Object, labels: Mapping[str, str]) -> bool:
    """Whether a node of these labels satisfies one requirement of `matchExpressions`; a malformed one holds nowhere."""
    key, operator = requirement.get("key"), requirement.get("operator")
    values = requirement.get("values") or []
    if type(key) is not str or type(values) is not list:
        return False
    value = labels.get(key)
    if operator == "In":
        return value is not None and value in values
    if operator == "NotIn":
        return bool(values) and (value is None or value not in values)
    if operator == "Exists":
        return not values and value is not None
    if operator == "DoesNotExist":
        return not values and value is None
    if operator in ("Gt", "Lt") and len(values) == 1:
        have, bound = integer(value), integer(values[0])
        if have is None or bound is None:
            return False
        return have > bound if operator == "Gt" else have < bound
    return False


def require(pod: Object, requirement: Object) -> Object:
    """A pod that runs only where it could run before and where `requirement` holds as well.

    The requirement is AND-ed into every term that does not hold it yet; a pod without required terms gets one. A term
    without requirements selects nothing and stays so. The same pod comes back when nothing is to be added, and when its
    affinity is malformed: the API server refuses that pod, and a repaired one could run where the author's cannot.
    """
    inside, affinity, node = _node_affinity(pod)
    if node is None:
        return pod
    required = node.get(_REQUIRED)
    if required is None:
        return _with(
            pod, (inside, affinity, node), _REQUIRED, {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
        )
    terms = required.get("nodeSelectorTerms") if type(required) is dict else None
    if type(terms) is not list or not terms:
        return pod
    narrowed = [_narrowed(term, requirement) for term in terms]
    if all(new is old for new, old in zip(narrowed, terms, strict=True)):
        return pod
    return _with(pod, (inside, affinity, node), _REQUIRED, {**required, "nodeSelectorTerms": narrowed})


def prefer(pod: Object, requirement: Object, weight: int) -> Object:
    """A pod that the scheduler would rather place where `requirement` holds; `weight` is 1 to 100.

    The same pod comes back when it has that very preference already, whatever its weight, or a malformed affinity.
    """
    return prefer_each(pod, [(requirement, weight)])


def prefer_each(pod: Object, wishes: Sequence[tuple[Object, int]]) -> Object:
    """A pod with a preference for each of these requirements, by its weight, as `prefer` adds one."""
    inside, affinity, node = _node_affinity(pod)
    if node is None:
        return pod
    there = node.get(_PREFERRED)
    if there is None:
        there = []
    elif type(there) is not list:
        return pod
    known = [term.get("preference") for term in there if type(term) is dict]
    new = []
    for requirement, weight in wishes:
        preference = {"matchExpressions": [requirement]}
        if preference not in known:
            known.append(preference)
            new.append({"weight": weight, "preference": preference})
    return _with(pod, (inside, affinity, node), _PREFERRED, [*there, *new]) if new else pod


def _node_affinity(pod: Object) -> tuple[Object, Object, Object | None]:
    """Spec, affinity and node affinity, empty where absent; no node affinity where one is of a wrong type."""
    inside = pod.get("spec")
    if type(inside) is not dict:
        return {}, {}, None
    affinity = inside.get("affinity")
    if affinity is None:
        return inside, {}, {}
    if type(affinity) is not dict:
        return inside, {}, None
    node = affinity.get("nodeAffinity")
    if node is None:
        return inside, affinity, {}
    return inside, affinity, node if type(node) is dict else None


def _with(pod: Object, parts: tuple[Object, Object, Object], field: str, value: Any) -> Object:
    inside, affinity, node = parts
    return {**pod, "spec": {**inside, "affinity": {**affinity, "nodeAffinity": {**node, field: value}}}}


def _narrowed(term: Any, requirement: Object) -> Any:
    if type(term) is not dict:
        return term
    expressions = term.get("matchExpressions")
    if not expressions:
        return {**term, "matchExpressions": [requirement]} if term.get("matchFields") else term
    if type(expressions) is not list or requirement in expressions:
        return term
    return {**term, "matchExpressions": [*expressions, requirement]}


def _term_selects(term: Object, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if type(expressions) is not list or type(fields) is not list or not (expressions or fields):
        return False
    for requirement in expressions:
        if type(requirement) is not dict or not holds(requirement, labels):
            return False
    return all(type(requirement) is dict and _field_holds(requirement, name) for requirement in fields)


def _field_holds(requirement: Object, name: str) -> bool:
    """`metadata.name` is the only field there is, and it takes exactly one value."""
    values = requirement.get("values")
    if requirement.get("key") != "metadata.name" or type(values) is not list or len(values) != 1:
        return False
    operator = requirement.get("operator")
    if operator == "In":
        return bool(values[0] == name)
    return operator == "NotIn" and bool(values[0] != name)


def integer(text: Any) -> int | None:
    """A 64-bit integer as Go's strconv.ParseInt reads it: a sign and ASCII digits, nothing else."""
    if type(text) is not str:
        return None
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 40:
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None
