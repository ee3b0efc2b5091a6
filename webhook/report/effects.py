"""Which parts of a policy show in what became of a pod, each by the name that coverage has for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from webhook.admission.changes import changes
from webhook.clients.profiles import profiles
from webhook.kube import Object, affinity, image, names
from webhook.kube import pod as pods
from webhook.mutate.load import cache_path
from webhook.mutate.node_affinity import preferred_labels
from webhook.policy.allow import OCI
from webhook.policy.model import Delivery, Model, Policy

HYDRATION = "hydration"
MOUNT = "mount"
IMAGE = "image volume"

AUTO = "profile auto"

_MODEL = "--model="
_SUITING = frozenset(row.name for row in profiles().rows)


def effects(policy: Policy, sent: Object, after: Object, namespace: str) -> set[str]:
    """What `after` has of what the policy asks for and `sent` has not."""
    if after is sent:
        return set()
    told = changes(sent, after)
    labels = _labels(after) - _labels(sent)
    found: set[str] = set()
    if labels & {names.image_label(image.canonical(text) or "") for text in pods.images(sent)}:
        found.add("images: placement")
    arguments = [argument for argument in _arguments(after) if argument.get("name") in told.hydrates]
    mounts = {(path, volume) for path, volume in _mounts(after) if path in {path for _, path in told.mounts}}
    for model in policy.models:
        for way, volume in _volumes_of(model):
            if (model.mount_path, volume) in mounts:
                found.add(f"model {model.name}: {way}")
                if model.redirect and told.redirected:
                    found.add(f"model {model.name}: redirect")
                if way == IMAGE and labels & _images_of(after, volume):
                    found.add(f"model {model.name}: placement")
        for argument in arguments:
            if _is(argument, model):
                found.add(f"model {model.name}: {HYDRATION}")
                if labels & _held_as(argument, namespace):
                    found.add(f"model {model.name}: placement")
                if model.redirect and told.redirected:
                    found.add(f"model {model.name}: redirect")
                if _fell_back(model, after):
                    found.add(f"model {model.name}: fallback volume")
    for rule in policy.volumes:
        if any(path == rule.mount_path for _, path in told.mounts) and _has_volume(after, rule.volume):
            found.add(f"volume {rule.volume['name']}")
    values = {(name, variable): _value(after, name, variable) for name, variable in told.env}
    for name, value in policy.env:
        if any(variable == name and there == value for (_, variable), there in values.items()):
            found.add(f"env {name}")
    for profile in policy.profiles:
        if any(profile.env.get(variable) == there for (_, variable), there in values.items() if there is not None):
            found.add(f"profile {profile.name}: env")
        if profile.aws_config and told.aws_config:
            found.add(f"profile {profile.name}: awsConfig")
    named = {name for name, _ in policy.env}.union(*(profile.env for profile in policy.profiles))
    if policy.auto_profiles and not _SUITING.isdisjoint(variable for _, variable in told.env if variable not in named):
        found.add(AUTO)
    return found


def ways(model: Model) -> Iterator[str]:
    """How the model may come into a pod, by the names that coverage has for it."""
    if any(not pattern.startswith(OCI) for pattern in model.allow):
        if model.delivery is not Delivery.MOUNT:
            yield HYDRATION
        if model.delivery is not Delivery.HYDRATE:
            yield MOUNT
    if any(pattern.startswith(OCI) for pattern in model.allow):
        yield IMAGE


def _volumes_of(model: Model) -> Iterator[tuple[str, str]]:
    """The volumes that the model's containers mount when it is not hydrated, by way."""
    for way in ways(model):
        if way == MOUNT and model.source_volume is not None:
            yield way, model.source_volume.volume["name"]
        elif way == IMAGE:
            yield way, names.model_volume(model.name)


def _mounts(pod: Object) -> Iterator[tuple[str, str]]:
    """Paths and volumes of what its containers mount."""
    for _, _, container in pods.every_container(pod):
        for mount in pods.objects(container.get("volumeMounts")):
            yield str(mount.get("mountPath")), str(mount.get("name"))


def _images_of(pod: Object, volume: str) -> set[str]:
    """The labels that nodes may bear for the image that a volume is."""
    found = (
        pods.mapping(each.get("image"))
        for each in pods.objects(pods.spec(pod).get("volumes"))
        if each.get("name") == volume
    )
    return {names.image_label(image.canonical(str(each.get("reference"))) or "") for each in found}


def _held_as(argument: Object, namespace: str) -> set[str]:
    """The labels that nodes may bear for the model that the init container is told of."""
    source, directory = str(argument.get("source")), str(argument.get("directory"))
    held = {source, names.selection(source, directory)}
    return {names.model_label(each, tenant) for each in held for tenant in ("", namespace)}


def _fell_back(model: Model, after: Object) -> bool:
    fallback = model.cache.fallback_volume
    return fallback is not None and _has_volume(after, {"name": names.cache_volume(model.cache.name), **fallback})


def _labels(pod: Object) -> set[str]:
    """Our labels that any node affinity term of the pod names."""
    found = set(preferred_labels(pod))
    for term in affinity.required_terms(pod):
        for requirement in pods.objects(term.get("matchExpressions")):
            key = requirement.get("key")
            if isinstance(key, str) and key.startswith(names.NODE_LABEL_PREFIX):
                found.add(key)
    return found


def _arguments(pod: Object) -> Iterator[Object]:
    """What the init container is told of each model."""
    for container in pods.init_containers(pod):
        if container.get("name") == names.INIT_CONTAINER:
            for argument in container.get("args") or ():
                if isinstance(argument, str) and argument.startswith(_MODEL):
                    try:
                        model = json.loads(argument.removeprefix(_MODEL).replace("$$", "$"))
                    except (ValueError, RecursionError):
                        continue  # the pod's own container of our name: whatever it says, it is none of ours
                    if isinstance(model, dict):
                        yield model


def _is(argument: Object, model: Model) -> bool:
    return argument.get("name") == model.name and argument.get("cache") == cache_path(model.cache)


def _has_volume(pod: Object, wanted: Object) -> bool:
    return any(each == wanted for each in pods.objects(pods.spec(pod).get("volumes")))


def _value(pod: Object, container: str, variable: str) -> str | None:
    for _, _, each in pods.every_container(pod):
        if each.get("name") == container:
            for entry in pods.objects(each.get("env")):
                if entry.get("name") == variable:
                    value = entry.get("value")
                    return value if isinstance(value, str) else None
    return None
