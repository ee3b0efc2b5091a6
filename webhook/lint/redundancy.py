"""What can be taken out of a policy without changing what it does. `warmpod lint --fix` takes it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.readings import readings
from webhook.policy.model import FailurePolicy, Origin, Policy, PolicySet

CODES: Codes = {
    "W029": ("warning", "a variable that nothing reads"),
    "W030": ("info", "an entry that another one of its list covers"),
    "W031": ("info", "a variable set to what a profile sets it to"),
    "W032": ("warning", "two conditions of one policy that are the same"),
    "W033": ("info", "failurePolicy of a policy without CEL"),
}


def _redundancies(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for check in (_variables, _lists, _env, _conditions, _failure_policy):
            yield from ((policy.origin, finding) for finding in check(policy))


def _variables(policy: Policy) -> Iterator[Finding]:
    """What only a variable reads that nothing reads is not read either."""
    wanted = {name for each in readings(policy) if each.role != "variable" for name in each.expression.references}
    for variable in reversed(policy.variables):
        if variable.name in wanted:
            wanted |= variable.expression.references
    for index, variable in enumerate(policy.variables):
        if variable.name not in wanted:
            message = f"no condition and no source reads variables.{variable.name}"
            yield Finding("W029", f"spec.variables[{index}].name", message, "remove it")


def _lists(policy: Policy) -> Iterator[Finding]:
    yield from _covered("spec.match.accelerators", policy.accelerator_patterns, _covers_name)
    for index, model in enumerate(policy.models):
        yield from _covered(f"spec.models[{index}].allow", model.allow, _covers_source)


def _covered(path: str, entries: Sequence[str], covers: Callable[[str, str], bool]) -> Iterator[Finding]:
    for index, entry in enumerate(entries):
        wide = next((other for other in entries if other != entry and covers(other, entry)), None)
        if wide is not None:
            yield Finding("W030", f"{path}[{index}]", f'"{wide}" covers "{entry}"', "remove the narrower one")


def _covers_name(wide: str, narrow: str) -> bool:
    stem, star, rest = wide.partition("*")
    return bool(star) and not rest and narrow.startswith(stem)


def _covers_source(wide: str, narrow: str) -> bool:
    return wide.endswith("*") and narrow.startswith(wide[:-1])


def _env(policy: Policy) -> Iterator[Finding]:
    for index, (name, value) in enumerate(policy.env):
        givers = [profile for profile in policy.profiles if name in profile.env]
        if givers and all(profile.env[name] == value for profile in givers):
            message = f"{name} has this value from the ClientProfile {givers[0].name} already"
            yield Finding("W031", f"spec.env[{index}].name", message, "remove it")


def _conditions(policy: Policy) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for index, condition in enumerate(policy.conditions):
        text = condition.expression.source.strip()
        if text in first:
            message = f"condition {first[text]} asks the same"
            yield Finding("W032", f"spec.matchConditions[{index}].expression", message, "remove one of the two")
        first.setdefault(text, condition.name)


def _failure_policy(policy: Policy) -> Iterator[Finding]:
    if policy.failure_policy is FailurePolicy.FAIL and not list(readings(policy)):
        message = "no CEL of this policy can fail: it has none"
        yield Finding("W033", "spec.failurePolicy", message, "remove it")


CHECKS: tuple[Check, ...] = (_redundancies,)
