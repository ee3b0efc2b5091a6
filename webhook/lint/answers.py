"""Lint of CEL by what it answers: each expression of a policy is asked of sample pods, and of pods derived from it.

All of it is done by the engine that serves, over values as a review has them. Nothing here guesses what CEL means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from webhook.cel import Activation, Bindings, FailedEvaluation, Reads, cut, together
from webhook.kube.review import for_pod
from webhook.lint.check import Manifest
from webhook.lint.derived import Derived, derived
from webhook.lint.readings import Reading
from webhook.lint.samples import LARGE, SAMPLES
from webhook.policy.match import Variables
from webhook.policy.model import Policy

Answer = bool | str | None
"""True or false; the name of another type (`a text`); None for an error."""


class _Inventory(NamedTuple):
    """What CEL may ask of the inventory: of some nodes, half of them warm for whatever is asked; or of none."""

    nodes: int
    usable: bool

    def warm_nodes(self, name: str) -> int:
        """Half of the nodes, whatever it is."""
        del name
        return self.nodes // 2


@dataclass(frozen=True, slots=True)
class Case:
    """One pod that expressions are asked about. `missing` is the path that it was robbed of, empty if of none."""

    source: str
    roots: Mapping[str, Any]
    activation: Activation
    missing: str = ""


@dataclass(slots=True)
class Answers:
    """What the expressions of one policy answered, by the place of the expression, a pod after the other."""

    cases: tuple[Case, ...]
    given: dict[str, list[Answer]]
    errors: dict[str, list[str]]
    too_large: dict[str, str]

    def of(self, reading: Reading) -> list[Answer]:
        """Every answer of an expression."""
        return self.given[reading.path]


@cache
def samples() -> tuple[Case, ...]:
    """Return the sample pods as cases. Engines keep what they make of them, for all policies."""
    return tuple(_case(each, _Inventory(index % 3 * 4, index % 4 != 1)) for index, each in enumerate(SAMPLES))


_USERS: Final = ("replicaset-controller", "job-controller", "statefulset-controller")


def _roots(manifest: Manifest, user: str) -> dict[str, Any]:
    request = for_pod(manifest.pod, namespace=manifest.namespace, user=f"system:serviceaccount:kube-system:{user}")
    labels = manifest.namespace_labels
    space = None if labels is None else {"metadata": {"name": manifest.namespace, "labels": dict(labels)}}
    raw = {key: value for key, value in request.raw.items() if key not in ("object", "oldObject")}
    return {"object": manifest.pod, "request": raw, "namespaceObject": space}


def _case(manifest: Manifest, inventory: _Inventory) -> Case:
    roots = _roots(manifest, _USERS[inventory.nodes // 4 % len(_USERS)])
    return Case(manifest.source, roots, _activation(roots, inventory))


def _activation(roots: Mapping[str, Any], inventory: _Inventory) -> Activation:
    bindings = Bindings(
        object=roots["object"],
        request=roots["request"],
        namespaceObject=roots["namespaceObject"],
        inventory=inventory,
    )
    return Activation(bindings)


def answers(policy: Policy, reads: Sequence[Reading]) -> Answers:
    """Ask every expression of a policy about every sample, and about what is derived from them all."""
    wanted = together(each.expression.reads for each in reads)
    base = _cut(samples()[0].roots, wanted)
    made = tuple(_derived_case(each) for each in derived(base, reads))
    cases = (*samples(), *made)
    found = Answers(cases, {each.path: [] for each in reads}, {each.path: [] for each in reads}, {})
    for case in cases:
        variables = Variables(policy, case.activation)
        for each in reads:
            answer, error = _ask(each, variables)
            found.given[each.path].append(answer)
            found.errors[each.path].append(error)
    if any(each.structure.depth for each in reads):
        _ask_large(policy, reads, wanted, found)
    return found


def _derived_case(each: Derived) -> Case:
    source = f"a pod without {each.missing}" if each.missing else "a pod made for this policy"
    return Case(source, each.roots, _activation(each.roots, _Inventory(4, usable=True)), each.missing)


def _cut(roots: Mapping[str, Any], wanted: Reads) -> dict[str, Any]:
    return {name: cut(value, wanted.get(name, {})) for name, value in roots.items()}


def _ask(reading: Reading, variables: Variables) -> tuple[Answer, str]:
    try:
        value = reading.expression.value(variables.bound(reading.expression.references))
    except FailedEvaluation as failure:
        return None, " ".join(str(failure).split())
    return _kind(value), ""


def _kind(value: Any) -> Answer:
    if isinstance(value, bool):
        return value
    if value is None:
        return "null"
    kinds = ((str, "a text"), (int, "a number"), (float, "a number"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a map")


def _ask_large(policy: Policy, reads: Sequence[Reading], wanted: Reads, found: Answers) -> None:
    """Ask about a large pod: what fails there and nowhere else, by the engine's limits, is too much work."""
    roots = _cut(_roots(LARGE, _USERS[0]), wanted)
    variables = Variables(policy, _activation(roots, _Inventory(4, usable=True)))
    for each in reads:
        answer, error = _ask(each, variables)
        found.given[each.path].append(answer)
        found.errors[each.path].append(error)
        if any(word in error for word in _LIMITS) and not error.startswith("variables."):
            found.too_large[each.path] = error
    found.cases = (*found.cases, Case(LARGE.source, roots, variables.bound(()), ""))


_LIMITS: Final = ("turns of its loops", "is evaluated over at most", "too many elements", "goes over at most")
"""Of the engines' words for work that they refuse (`webhook.cel.complaints`, `webhook.cel.values`)."""
