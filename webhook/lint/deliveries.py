"""Models that are mounted as they lie: volumes that could be written to, tags that move, fields without meaning."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.kube import Object
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.policy.allow import OCI, canonical_source
from webhook.policy.model import Delivery, Model, Origin, PolicySet

CODES: Codes = {
    "W054": ("warning", "a volume of models in which the kubelet may make directories"),
    "W055": ("warning", "an image of a model whose tag moves"),
    "W056": ("warning", "a field that means nothing for a model that is mounted"),
}

# Volume types whose own `readOnly` the kubelet heeds when it mounts the volume, before it looks for a subPath.
_PROTECTED = ("persistentVolumeClaim", "csi", "nfs")
_OF_HYDRATION = ("cache", "onFailure", "pageCache", "placement")


def _deliveries(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for index, model in enumerate(policy.models):
            at = f"spec.models[{index}]"
            for check in (_writable, _moving, _idle):
                yield from ((policy.origin, each) for each in check(model, at, policy.origin))


def _writable(model: Model, at: str, _: Origin) -> Iterator[Finding]:
    """The kubelet makes a directory that a subPath names and the volume has not (kubelet_pods.go, makeMounts)."""
    if model.delivery is Delivery.HYDRATE or model.source_volume is None:
        return
    kind, given = _source(model.source_volume.volume)
    if kind in _PROTECTED and given.get("readOnly") is not True:
        message = (
            "where the volume does not hold a source, the kubelet makes an empty directory in it, and the pod starts"
        )
        hint = f"set {kind}.readOnly: true: such a pod then says what is missing"
        yield Finding("W054", f"{at}.sourceVolume.volume.{kind}", f"{message} without its model", hint)


def _source(volume: Object) -> tuple[str, Object]:
    return next(((key, value) for key, value in volume.items() if key != "name" and isinstance(value, dict)), ("", {}))


def _moving(model: Model, at: str, origin: Origin) -> Iterator[Finding]:
    """Image volumes are pulled where they are missing, and only there."""
    places = [f"{at}.allow[{index}]" for index in range(len(model.allow))]
    if model.source.kind == "value" and f"{at}.allow" not in origin.fields:
        places = [f"{at}.source.value"]
    for place, pattern in zip(places, model.allow, strict=True):
        source = canonical_source(pattern) if pattern.startswith(OCI) and not pattern.endswith("*") else None
        if source is not None and source.endswith(":latest"):
            message = "a node that holds some version of latest keeps it: pods on two nodes may get two models"
            yield Finding("W055", place, message, "name a version, or a digest")


def _idle(model: Model, at: str, origin: Origin) -> Iterator[Finding]:
    if model.delivery is not Delivery.MOUNT:
        return
    is_artifact = any(pattern.startswith(OCI) for pattern in model.allow)
    for field in _OF_HYDRATION:
        if f"{at}.{field}" in origin.fields and not (field == "placement" and is_artifact):
            message = f"{field} means nothing with delivery: mount, which brings nothing to the node"
            yield Finding("W056", f"{at}.{field}", message, "remove it, or use delivery: auto", on_key=True)


CHECKS: tuple[Check, ...] = (_deliveries,)
