"""Whether a policy is for a pod: cheap looks first, then CEL with the semantics of ValidatingAdmissionPolicy.

First accelerators, objectSelector, namespaceSelector; then conditions: any false skips, even beside errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from webhook.cel import Activation, FailedEvaluation
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.review import AdmissionRequest
from webhook.policy.legibility import shown
from webhook.policy.model import Policy

Result = Literal["matched", "skipped", "errored"]

_LONGEST_ERROR = 200  # of an error's text in a reason: CEL errors quote the pod


@dataclass(slots=True)
class Subject:
    """One pod to match every policy against. `namespace_labels` None: they are not known (yet).

    `claims` maps what a pod calls a resource claim or its template to device classes. What was looked up is kept here.
    """

    pod: Object
    request: AdmissionRequest
    namespace_labels: Mapping[str, str] | None
    accelerators: Accelerators
    claims: Mapping[str, tuple[str, ...]]
    activation: Activation
    _requests: dict[int, bool] = field(default_factory=dict, repr=False)
    _labels: Mapping[str, str] | None = field(default=None, repr=False)

    def requests(self, accelerators: Accelerators) -> bool:
        """Tell whether any container asks for one of these."""
        key = id(accelerators)  # policies share the object where they share the patterns, and outlive the review
        found = self._requests.get(key)
        if found is None:
            found = self._requests[key] = any(
                accelerators.of_pod(self.pod, self.claims, self.request.namespace).values()
            )
        return found

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        if self._labels is None:
            self._labels = pods.labels(self.pod)
        return self._labels


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one policy, with the reason in one line.

    `variables` holds those that were needed: by conditions, and by the expressions of the models' sources.
    """

    result: Result
    reason: str
    variables: dict[str, Any] = field(default_factory=dict)


_NO_ACCELERATOR = Match("skipped", "no container requests an accelerator")
_OBJECT_SELECTOR = Match("skipped", "objectSelector does not match the pod's labels")
_NAMESPACE_SELECTOR = Match("skipped", "namespaceSelector does not match the namespace's labels")
_NAMESPACE_UNKNOWN = Match("skipped", "namespaceSelector: the namespace's labels are not known yet")
_MATCHED = Match("matched", "matched")


@lru_cache(maxsize=1024)
def _requests_none(patterns: tuple[str, ...]) -> Match:
    return Match("skipped", f"no container requests {' or '.join(patterns)}")


def match(policy: Policy, subject: Subject) -> Match:
    """Return whether the policy is for the pod. Never raises; modes and the skip annotation are the caller's."""
    accelerators = policy.accelerators
    if not subject.requests(subject.accelerators if accelerators is None else accelerators):
        if accelerators is None:
            return _NO_ACCELERATOR
        return _requests_none(policy.accelerator_patterns)
    if policy.object_selector is not None and not policy.object_selector.matches(subject.labels):
        return _OBJECT_SELECTOR
    if policy.namespace_selector is not None:
        if subject.namespace_labels is None:
            return _NAMESPACE_UNKNOWN
        if not policy.namespace_selector.matches(subject.namespace_labels):
            return _NAMESPACE_SELECTOR
    if not policy.conditions and not policy.variables:
        return _MATCHED
    return _judge(policy, subject)


def _judge(policy: Policy, subject: Subject) -> Match:
    variables = Variables(policy, subject.activation)
    error = ""
    # Most pods that come this far meet them all. Where one does not, it is for its own evaluation to say which and why.
    for condition in () if _meets_all(policy, subject.activation) else policy.conditions:
        try:
            if not condition.expression.test(variables.bound(condition.expression.references)):
                return Match("skipped", f"condition {condition.name} is false", variables.values)
        except FailedEvaluation as failure:
            error = error or f"condition {condition.name}: {_line(failure)}"
    if error:
        return Match("errored", error, variables.values)
    for model in policy.models:
        if model.source.expression is not None:
            try:
                variables.bound(model.source.expression.references)
            except FailedEvaluation as failure:
                return Match("errored", f"source of model {model.name}: {_line(failure)}", variables.values)
    return Match("matched", "matched", variables.values)


def _meets_all(policy: Policy, activation: Activation) -> bool:
    try:
        return policy.all_conditions is not None and policy.all_conditions.test(activation)
    except FailedEvaluation:
        return False


def _line(failure: FailedEvaluation) -> str:
    return shown(" ".join(str(failure).split()), _LONGEST_ERROR)


class Variables:
    """A policy's variables, each evaluated at most once, and only when something needs it. `values` has those found."""

    def __init__(self, policy: Policy, activation: Activation) -> None:
        self.values: dict[str, Any] = {}
        self._policy = policy
        self._activation = activation
        self._errors: dict[str, FailedEvaluation] = {}
        self._bound: Activation | None = None

    def bound(self, names: Iterable[str]) -> Activation:
        """Return the activation in which these variables have values; FailedEvaluation when one has none."""
        for name in names:
            if name not in self.values:
                self._evaluate(name)
        if not self.values:
            return self._activation
        if self._bound is None:
            self._bound = self._activation.with_variables(dict(self.values))
        return self._bound

    def _evaluate(self, name: str) -> None:
        if name in self._errors:
            raise self._errors[name]
        try:
            # `parse` lets an expression read only variables defined above it, so this ends.
            expression = next(each.expression for each in self._policy.variables if each.name == name)
            value = expression.value(self.bound(expression.references))
        except FailedEvaluation as failure:
            inner = str(failure)
            text = inner if inner.startswith("variables.") else f"variables.{name}: {inner}"
            self._errors[name] = FailedEvaluation(text)
            raise self._errors[name] from failure
        self.values[name] = value
        self._bound = None
