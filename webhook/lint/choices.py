"""Fields of one document that say something else than they seem to, or nothing at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.policy.allow import is_wide
from webhook.policy.model import (
    Delivery,
    Model,
    NodeCache,
    OnFailure,
    Origin,
    Placement,
    Policy,
    PolicySet,
    Tenancy,
)

CODES: Codes = {
    "W001": ("error", "placement Require without acknowledge"),
    "W002": ("warning", "redirect with onFailure Continue"),
    "W005": ("warning", "allow leaves the bucket or the first directory open"),
    "W006": ("warning", "a NodeCache or ClientProfile that no policy uses"),
    "W007": ("warning", "a policy that does nothing"),
    "W008": ("warning", "an environment variable that looks like a secret"),
    "W009": ("warning", "two profiles of one policy set one variable to different values"),
    "W010": ("warning", "acknowledge without what it acknowledges"),
    "W011": ("warning", "a hostPath cache without fallbackVolume"),
    "W012": ("warning", "placement by a cache that no other pod sees"),
    "W013": ("warning", "sourceVolume that no allowed source lies on"),
    "W018": ("warning", "a cache of all tenants that is trusted without asking the source"),
}

ACKNOWLEDGE_REQUIRE = "RequireBlocksScaleFromZero"

_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|API_?KEY|PRIVATE_KEY)(?:_|$)", re.IGNORECASE)
_PRIVATE = frozenset({"emptyDir", "ephemeral"})


def _require(policy: Policy) -> Iterator[Finding]:
    placements = {"spec.images.placement": policy.image_placement}
    placements |= {f"spec.models[{index}].placement": model.placement for index, model in enumerate(policy.models)}
    required = [path for path, placement in placements.items() if placement is Placement.REQUIRE]
    if ACKNOWLEDGE_REQUIRE in policy.acknowledged:
        if not required:
            message = f"{ACKNOWLEDGE_REQUIRE} is acknowledged, but no placement is Require"
            yield Finding("W010", "spec.acknowledge", message, "remove it")
        return
    for path in required:
        message = "Require keeps pods pending while no warm node has room: autoscalers cannot make a warm node"
        yield Finding("W001", path, message, f"use Prefer, or set acknowledge: [{ACKNOWLEDGE_REQUIRE}]")


def _models(policy: Policy) -> Iterator[Finding]:
    for index, model in enumerate(policy.models):
        path = f"spec.models[{index}]"
        if model.redirect and model.on_failure is OnFailure.CONTINUE:
            message = (
                "redirect points the program at an empty directory when hydration failed and the pod starts anyway"
            )
            yield Finding("W002", f"{path}.onFailure", message, "use onFailure: Retry, or redirect: false")
        for place, pattern in enumerate(model.allow):
            if is_wide(pattern):
                what = "directory" if pattern.startswith("file") else "bucket, also one that a stranger registers"
                message = f'"{pattern}" allows any {what}'
                yield Finding("W005", f"{path}.allow[{place}]", message, "name it up to its /")
        if model.placement is not Placement.OFF and model.delivery is not Delivery.MOUNT and _is_private(model):
            message = f"cache {model.cache.name} lies in the pod's own volume, so no node is ever warm for this model"
            yield Finding("W012", f"{path}.cache", message, "use a hostPath cache, or placement: Off")
        is_read = model.delivery is not Delivery.HYDRATE or any(pattern.startswith("file:") for pattern in model.allow)
        if model.source_volume and not is_read:
            yield Finding(
                "W013", f"{path}.sourceVolume", "allow lists no file:// source, so this is never read", "remove it"
            )


def _is_private(model: Model) -> bool:
    return not _PRIVATE.isdisjoint(model.cache.volume)


def _nothing(policy: Policy) -> Iterator[Finding]:
    does = policy.models or policy.volumes or policy.env or policy.auto_profiles
    if policy.image_placement is Placement.OFF and not (
        does or any(each.env or each.aws_config for each in policy.profiles)
    ):
        hint = "give it images, models, volumes, clientProfiles or env, or remove it"
        yield Finding("W007", "spec", "the policy changes nothing in the pods it matches", hint)


def _env(policy: Policy) -> Iterator[Finding]:
    for index, (name, value) in enumerate(policy.env):
        if value and _SECRET.search(name):
            message = f"{name} looks like a secret, and would be readable in every pod and in the audit log"
            yield Finding("W008", f"spec.env[{index}].name", message, "let the pod take it from a Secret of its own")
    first: dict[str, tuple[str, str]] = {}
    for index, profile in enumerate(policy.profiles):
        for name, value in profile.env.items():
            other, theirs = first.setdefault(name, (profile.name, value))
            if theirs != value and not any(name == own for own, _ in policy.env):
                message = f'{name} is "{theirs}" in {other} and "{value}" in {profile.name}: the first wins'
                yield Finding("W009", f"spec.clientProfiles[{index}]", message, "say in spec.env which one is meant")


def _cache(cache: NodeCache) -> Iterator[Finding]:
    if "hostPath" in cache.volume and cache.fallback_volume is None:
        message = "namespaces whose PodSecurity level forbids hostPath get no model from this cache"
        yield Finding("W011", "spec.volume", message, "add fallbackVolume: {emptyDir: {sizeLimit: 200Gi}}")
    if cache.trust_cache and cache.tenancy is Tenancy.CLUSTER:
        message = "any pod that a policy lets name a source reads it here, whether or not its role may read the bucket"
        yield Finding("W018", "spec.trustCache", message, "use tenancy: Namespace, or leave trustCache out")


def _unused(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    """Nothing to say while policies were left out: one of them may be the user."""
    if any(problem.severity == "error" for problem in policy_set.problems):
        return
    caches = {model.cache.name for policy in policy_set.policies for model in policy.models}
    profiles = {profile.name for policy in policy_set.policies for profile in policy.profiles}
    for cache in policy_set.caches:
        if cache.name not in caches:
            message = f"no policy uses the NodeCache {cache.name}"
            yield cache.origin, Finding("W006", "metadata.name", message, "remove it")
    for profile in policy_set.profiles:
        if profile.name not in profiles:
            message = f"no policy uses the ClientProfile {profile.name}"
            yield profile.origin, Finding("W006", "metadata.name", message, "remove it")


def _policies(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for check in (_require, _models, _nothing, _env):
            yield from ((policy.origin, finding) for finding in check(policy))


def _caches(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for cache in policy_set.caches:
        yield from ((cache.origin, finding) for finding in _cache(cache))


CHECKS: tuple[Check, ...] = (_policies, _caches, _unused)
