"""Volumes that the namespaces a policy is for refuse, by the PodSecurity level that their label names."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.kube import Object, names
from webhook.kube.podsecurity import Level, allows_volume
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.policy.model import Delivery, Model, Origin, Policy, PolicySet

CODES: Codes = {
    "W053": ("warning", "a volume that PodSecurity refuses where the policy applies"),
}


def _refused(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        levels = levels_of(policy)
        for index, rule in enumerate(policy.volumes):
            level = _refusing(rule.volume, levels)
            if level is not None:
                path = f"spec.volumes[{index}].volume.{_source(rule.volume)}"
                yield (
                    policy.origin,
                    Finding("W053", path, f"{_sentence(policy, rule.volume, level)}: it is left out", _HINT),
                )
        for index, model in enumerate(policy.models):
            yield from ((policy.origin, each) for each in _model(policy, model, f"spec.models[{index}]", levels))


def _model(policy: Policy, model: Model, at: str, levels: tuple[Level, ...]) -> Iterator[Finding]:
    if model.source_volume is not None:
        volume = model.source_volume.volume
        level = _refusing(volume, levels)
        if level is not None:
            path = f"{at}.sourceVolume.volume.{_source(volume)}"
            is_spare = model.delivery is Delivery.AUTO and bool(
                model.source_volume.holds
            )  # the hydrator reads S3 itself
            outcome = "the model is always hydrated" if is_spare else "the model is not brought"
            message = f"{_sentence(policy, volume, level)}: {outcome}"
            yield Finding("W053", path, message, _HINT)
    # A cache whose level nobody pins is W011's; here the selector says that its volume is never used.
    if _is_pinned(policy) and all(not allows_volume(model.cache.volume, level) for level in levels):
        message = f"{_sentence(policy, model.cache.volume, levels[-1])}: cache {model.cache.name} "
        message += "is always its fallbackVolume" if model.cache.fallback_volume else "brings no model"
        yield Finding("W053", f"{at}.cache", message, _HINT)


_HINT = f"have namespaceSelector ask for {names.LABEL_POD_SECURITY_ENFORCE}: privileged, or use another volume type"


def levels_of(policy: Policy) -> tuple[Level, ...]:
    """The levels that namespaces of this policy may have, from the most permissive; baseline where nothing says so."""
    if not _is_pinned(policy):
        return (Level.BASELINE,)
    selector = policy.namespace_selector
    assert selector is not None
    key = names.LABEL_POD_SECURITY_ENFORCE
    wanted = [value for label, value in selector.equal if label == key]
    possible = [
        level
        for level in Level
        if all(value == str(level) for value in wanted)
        and all(
            (str(level) in values) == (operator == "In")
            for label, operator, values in selector.expressions
            if label == key and operator in {"In", "NotIn"}
        )
    ]
    return tuple(possible) or (Level.RESTRICTED,)  # a value that is none of the three counts as restricted


def _is_pinned(policy: Policy) -> bool:
    selector = policy.namespace_selector
    if selector is None:
        return False
    key = names.LABEL_POD_SECURITY_ENFORCE
    return any(label == key for label, _ in selector.equal) or any(
        label == key and operator == "In" for label, operator, _ in selector.expressions
    )


def _refusing(volume: Object, levels: tuple[Level, ...]) -> Level | None:
    """The most permissive of the levels that refuses the volume."""
    return next((level for level in levels if not allows_volume(volume, level)), None)


def _source(volume: Object) -> str:
    return next((key for key in volume if key != "name"), "name")


def _sentence(policy: Policy, volume: Object, level: Level) -> str:
    where = f"namespaces of PodSecurity level {level}"
    where += ", which namespaceSelector picks," if _is_pinned(policy) else ", the default,"
    return f"{where} refuse {_source(volume)}"


CHECKS: tuple[Check, ...] = (_refused,)
