"""What of the policies the cases of a test exercise: which elements came to pass in some case, and which in none.

An element is what a reader of a policy can point at: the policy itself, a condition and each of its two answers, a
variable, placement, a model and what comes with it, a volume, a variable of the environment, a profile. It is seen
where a decision shows it: an expression answered, or the pod has what the policy asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.kube import Object
from webhook.kube.review import AdmissionRequest
from webhook.policy.model import FailurePolicy, Placement, Policy, PolicySet
from webhook.report.effects import AUTO, HYDRATION, MOUNT, effects, ways

Answer = tuple[str, str, str, str]
"""Policy, kind of expression, its name, what it said (see `webhook.report.observed`)."""


class Element(NamedTuple):
    """One thing that a case can exercise. `what` is what a person calls it; file and line are the policy's."""

    file: str
    line: int
    policy: str
    what: str


Seen = tuple[Element, ...]


@dataclass(slots=True)
class Coverage:
    """Which elements there are, and how many cases exercise each.

    `unmissed` are those that may be taken out of the policies with no case failing; None: nobody tried.
    """

    declared: dict[Element, None] = field(default_factory=dict)
    cases: Counter[Element] = field(default_factory=Counter)
    unmissed: list[Element] | None = None

    def add(self, policies: PolicySet) -> None:
        """There are these policies to be exercised; one that is known already counts once."""
        for policy in policies.policies:
            self.declared.update(dict.fromkeys(elements(policy)))

    def count(self, seen: Iterable[Element]) -> None:
        """One case exercised these. What was not declared (an error of a condition) is kept, and owes nothing."""
        self.cases.update(set(seen))

    @property
    def missing(self) -> list[Element]:
        """What no case exercises, in the order of the files."""
        return sorted(element for element in self.declared if not self.cases[element])

    @property
    def percent(self) -> float:
        """How much is exercised, 100 where there is nothing to exercise. Rounded down to 0.1: all is all."""
        if not self.declared:
            return 100.0
        return int(1000 * (len(self.declared) - len(self.missing)) / len(self.declared)) / 10

    @property
    def policies(self) -> list[tuple[str, str, int, int]]:
        """Of each policy: file, name, how many elements are exercised, how many there are."""
        found: dict[tuple[str, str], list[int]] = {}
        for element in sorted(self.declared):
            counts = found.setdefault((element.file, element.policy), [0, 0])
            counts[0] += bool(self.cases[element])
            counts[1] += 1
        return [(file, policy, seen, all_) for (file, policy), (seen, all_) in found.items()]


def elements(policy: Policy) -> Iterator[Element]:
    """All that a case can exercise of a policy. That it could not judge a pod counts where this refuses the pod."""

    def element(what: str, path: str) -> Element:
        line, _ = policy.origin.at(path)
        return Element(policy.origin.file, line, policy.name, what)

    yield element("matched", "")
    yield element("skipped", "")
    if policy.failure_policy is FailurePolicy.FAIL and (policy.conditions or policy.variables):
        yield element("errored", "spec.failurePolicy")
    for index, condition in enumerate(policy.conditions):
        for answer in ("true", "false"):
            yield element(_condition(condition.name, answer), f"spec.matchConditions[{index}]")
    for index, variable in enumerate(policy.variables):
        yield element(_variable(variable.name), f"spec.variables[{index}]")
    if policy.image_placement is not Placement.OFF:
        yield element(IMAGES, "spec.images")
    for index, model in enumerate(policy.models):
        path = f"spec.models[{index}]"
        for way in (found := list(ways(model))):
            yield element(f"model {model.name}: {way}", path)
        if model.placement is not Placement.OFF and found != [MOUNT]:
            yield element(f"model {model.name}: placement", path)
        if model.redirect:
            yield element(f"model {model.name}: redirect", path)
        if HYDRATION in found and model.cache.fallback_volume is not None:
            yield element(f"model {model.name}: fallback volume", path)
    for index, rule in enumerate(policy.volumes):
        yield element(f"volume {rule.volume['name']}", f"spec.volumes[{index}]")
    for index, (name, _) in enumerate(policy.env):
        yield element(f"env {name}", f"spec.env[{index}]")
    for index, profile in enumerate(policy.profiles):
        if profile.env:
            yield element(f"profile {profile.name}: env", f"spec.clientProfiles[{index}]")
        if profile.aws_config:
            yield element(f"profile {profile.name}: awsConfig", f"spec.clientProfiles[{index}]")
    if policy.auto_profiles:
        yield element(AUTO, "spec.clientProfiles")


IMAGES = "images: placement"


def _condition(name: str, answer: str) -> str:
    return f"condition {name}: {answer}"


def _variable(name: str) -> str:
    return f"variable {name}"


def look(request: AdmissionRequest, facts: Facts, decision: Decision, answers: Iterable[Answer]) -> Seen:
    """What one decision exercised of the policies. `answers` are those of their expressions while it was made."""
    policies = {policy.name: policy for policy in facts.policies.policies}
    found: set[tuple[str, str]] = set()
    for verdict in decision.policies:
        found.add((verdict.name, verdict.result))
    for policy, kind, name, told in answers:
        if kind == "condition":
            found.add((policy, _condition(name, told)))
        elif kind == "variable":
            found.add((policy, _variable(name) if told == "value" else f"{_variable(name)}: {told}"))
    after = decision.would_pod if decision.would_patch else decision.pod
    if request.object is not None and after is not None:
        matched = [policies[verdict.name] for verdict in decision.policies if verdict.result == "matched"]
        for each in matched:
            found.update((each.name, what) for what in _done(each, request, facts, after, alone=len(matched) == 1))
    known = {(element.policy, element.what): element for policy in policies.values() for element in elements(policy)}
    extra = [
        Element(policies[policy].origin.file, policies[policy].origin.line, policy, what)
        for policy, what in found
        if (policy, what) not in known
    ]
    return tuple(sorted([*(known[each] for each in found if each in known), *extra]))


def _done(policy: Policy, request: AdmissionRequest, facts: Facts, after: Object, *, alone: bool) -> set[str]:
    sent = request.object
    assert sent is not None
    found = effects(policy, sent, after, request.namespace)
    if found and not alone:  # then some of it may be another's: what would there be without the others?
        decision = admit(request, replace(facts, policies=PolicySet(policies=(policy,))))
        own = decision.would_pod if decision.would_patch else decision.pod
        found &= effects(policy, sent, sent if own is None else own, request.namespace)
    return found
