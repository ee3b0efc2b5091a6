"""Policies with one element taken out, to see whether a test misses it: what is exercised may be asserted nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from webhook.policy.model import Model, Placement, Policy, PolicySet
from webhook.report.coverage import IMAGES, Element
from webhook.report.effects import AUTO, HYDRATION, MOUNT, ways

_Entry = TypeVar("_Entry")


def removals(policies: PolicySet) -> Iterator[tuple[Element, PolicySet]]:
    """Each element of each policy, by the name a person has for it, and the policies without it."""
    for index, policy in enumerate(policies.policies):
        before, behind = policies.policies[:index], policies.policies[index + 1 :]
        yield _element(policy, "the policy", ""), replace(policies, policies=(*before, *behind))
        for what, path, changed in _without(policy):
            yield _element(policy, what, path), replace(policies, policies=(*before, changed, *behind))


def _element(policy: Policy, what: str, path: str) -> Element:
    return Element(policy.origin.file, policy.origin.at(path)[0], policy.name, what)


def _without(policy: Policy) -> Iterator[tuple[str, str, Policy]]:
    if policy.object_selector is not None:
        yield "objectSelector", "spec.match.objectSelector", replace(policy, object_selector=None)
    if policy.namespace_selector is not None:
        yield "namespaceSelector", "spec.match.namespaceSelector", replace(policy, namespace_selector=None)
    for index, condition in enumerate(policy.conditions):
        fewer = replace(policy, conditions=_but(policy.conditions, index), all_conditions=None)
        yield f"condition {condition.name}", f"spec.matchConditions[{index}]", fewer
    if policy.image_placement is not Placement.OFF:
        yield IMAGES, "spec.images", replace(policy, image_placement=Placement.OFF)
    for index, model in enumerate(policy.models):
        path = f"spec.models[{index}]"
        yield f"model {model.name}", path, replace(policy, models=_but(policy.models, index))
        for what, changed in _less(model):
            models = (*policy.models[:index], changed, *policy.models[index + 1 :])
            yield f"model {model.name}: {what}", path, replace(policy, models=models)
    for index, rule in enumerate(policy.volumes):
        fewer = replace(policy, volumes=_but(policy.volumes, index))
        yield f"volume {rule.volume['name']}", f"spec.volumes[{index}]", fewer
    for index, (name, _) in enumerate(policy.env):
        yield f"env {name}", f"spec.env[{index}]", replace(policy, env=_but(policy.env, index))
    for index, profile in enumerate(policy.profiles):
        fewer = replace(policy, profiles=_but(policy.profiles, index))
        yield f"profile {profile.name}", f"spec.clientProfiles[{index}]", fewer
    if policy.auto_profiles:
        yield AUTO, "spec.clientProfiles", replace(policy, auto_profiles=False)


def _less(model: Model) -> Iterator[tuple[str, Model]]:
    if model.placement is not Placement.OFF and list(ways(model)) != [MOUNT]:
        yield "placement", replace(model, placement=Placement.OFF)
    if model.redirect:
        yield "redirect", replace(model, redirect=False)
    if HYDRATION in ways(model) and model.cache.fallback_volume is not None:
        yield "fallback volume", replace(model, cache=replace(model.cache, fallback_volume=None))
    if model.source.kind in {"annotation", "label", "env", "arg"}:  # what an expression gives is the policy's own word
        # Not what is allowed but that not all is: a test that never names another source does not know.
        yield "allow", replace(model, allow=("s3://*", "file:///*", "oci://*"))


def _but(entries: Sequence[_Entry], index: int) -> tuple[_Entry, ...]:
    return (*entries[:index], *entries[index + 1 :])
