"""A live pod as it was sent to the API server at first: without what the cluster and Warmpod wrote into it since.

What cannot be told from the author's own words stays: variables and volumes that a policy named itself, defaults of the
API, what other webhooks added. A second review leaves those alone, so it decides of the rest what the first one did.
Sources: k8s.io/kubernetes plugin/pkg/admission/{serviceaccount,defaulttolerationseconds,priority} and
pkg/registry/core/pod.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.kube import Object, names
from webhook.kube import pod as pods

# Of metadata, what the API server keeps of its own accord.
_KEPT = frozenset({"name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers"})
# `priority` and `preemptionPolicy` follow from the class; a debug container is never there at first.
_NOT_SENT = frozenset({"nodeName", "priority", "ephemeralContainers", "serviceAccount"})
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a path
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ZONES = re.compile(r" zones=(\S+)\Z")
_SUFFIX = re.compile(r"[a-z0-9]{5}")
_HYDRATE = "hydrate"
_MODEL = "--model="
_MOST_BYTES = 16 * 1024
_IMAGE_OR_MODEL = (f"{names.NODE_LABEL_PREFIX}image-", f"{names.NODE_LABEL_PREFIX}model-")
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def was_changed(pod: Object) -> bool:
    """Whether Warmpod changed this pod: it bears the annotation, or the init container where that had no room."""
    return pods.annotation(pod, names.ANNOTATION_DECISION) is not None or _hydrator(pod) is not None


def recreated(pod: Object) -> Object:
    """The pod as it was sent. The argument is not edited; whatever has a wrong type stays as it is."""
    metadata, spec = pods.metadata(pod), pods.spec(pod)
    sent = {key: value for key, value in metadata.items() if key in _KEPT}
    if _is_generated(metadata):
        del sent["name"]
    made: Object = {**{key: value for key, value in pod.items() if key != "status"}, "metadata": sent}
    if type(pod.get("spec")) is not dict:
        return made
    inside = {key: value for key, value in spec.items() if key not in _NOT_SENT or pods.is_mirror(pod)}
    if inside.get("preemptionPolicy") == "PreemptLowerPriority":
        del inside["preemptionPolicy"]
    _without(inside, "tolerations", _is_default_toleration)
    _without(inside, "volumes", lambda volume: _is_token_volume(volume.get("name")))
    for name, containers in _lists(inside):
        inside[name] = [_unmounted(one, lambda m: m.get("mountPath") == _TOKEN_PATH and _is_token_volume(m.get("name")))
                        for one in containers]  # fmt: skip
    made["spec"] = inside
    return unwarmed(made) if was_changed(pod) else made


def _is_generated(metadata: Mapping[str, Any]) -> bool:
    """Whether the API server made up the name: five characters after the prefix. StatefulSets name their own."""
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if type(name) is not str or type(prefix) is not str or not prefix or not name.startswith(prefix):
        return False
    owners = {owner.get("kind") for owner in pods.objects(metadata.get("ownerReferences"))}
    return "StatefulSet" not in owners and _SUFFIX.fullmatch(name[len(prefix) :]) is not None


def _is_default_toleration(toleration: Object) -> bool:
    return (
        toleration.get("key") in _TAINTS
        and toleration.get("operator") == "Exists"
        and toleration.get("effect") == "NoExecute"
        and "tolerationSeconds" in toleration
    )


def _is_token_volume(name: Any) -> bool:
    return type(name) is str and _TOKEN_VOLUME.fullmatch(name) is not None


def unwarmed(pod: Object) -> Object:
    """A pod that Warmpod changed, without what it adds under names of its own; what it redirected names the source."""
    inside = {**pods.spec(pod)}
    sources = {**_sources(pod), **_images(pod)}
    _without(inside, "initContainers", lambda one: one.get("name") == names.INIT_CONTAINER)
    _without(inside, "volumes", lambda one: _is_ours(one.get("name")) or one.get("name") in sources)
    for name, containers in _lists(inside):
        inside[name] = [_restored(one, sources) if type(one) is dict else one for one in containers]
    if type(inside.get("affinity")) is dict:
        affinity = _unplaced(inside.pop("affinity"), _zones(pod))
        inside |= {"affinity": affinity} if affinity else {}
    metadata = {**pods.metadata(pod)}
    annotations = pods.mapping(metadata.get("annotations"))
    ours = {names.ANNOTATION_DECISION}
    # Where the author had other text there, no volume shows it.
    if any(one.get("name") == names.VOLUME_AWS_CONFIG for one in pods.objects(pods.spec(pod).get("volumes"))):
        ours.add(names.ANNOTATION_AWS_CONFIG)
    kept = {key: value for key, value in annotations.items() if key not in ours}
    if kept:
        metadata["annotations"] = kept
    else:
        metadata.pop("annotations", None)
    return {**pod, "metadata": metadata, "spec": inside}


def _restored(container: Object, sources: Mapping[str, str]) -> Object:
    """The container without our mounts and our AWS_CONFIG_FILE; words that name a model's mount name its source."""
    mounted = {
        mount["mountPath"]: sources[shown]
        for mount in pods.objects(container.get("volumeMounts"))
        if (shown := _shown(mount)) in sources and type(mount.get("mountPath")) is str
    }
    made: Object = _unmounted(container, lambda mount: _is_ours(mount.get("name")) or _shown(mount) in sources)
    _without(
        made,
        "env",
        lambda one: one.get("name") == "AWS_CONFIG_FILE" and one.get("value") == names.AWS_CONFIG_FILE,
    )
    if mounted:
        for field in ("command", "args"):
            if type(made.get(field)) is list:
                made[field] = [_source_of(word, mounted) for word in made[field]]
        if type(made.get("env")) is list:
            made["env"] = [
                {**one, "value": mounted[one["value"]]} if type(one) is dict and _names_one(one, mounted) else one
                for one in made["env"]
            ]
    return made


def _source_of(word: Any, mounted: Mapping[str, str]) -> Any:
    if type(word) is not str:
        return word
    source = mounted.get(word)
    if source is not None:
        return source
    flag, equals, path = word.partition("=")
    return f"{flag}={mounted[path]}" if equals and path in mounted and flag.startswith("-") else word


def _names_one(entry: Object, mounted: Mapping[str, str]) -> bool:
    value = entry.get("value")
    return type(value) is str and value in mounted


def _sources(pod: Object) -> dict[str, str]:
    """The directories in caches that the pod's hydrator fills, and the sources they are filled from."""
    found: dict[str, str] = {}
    args = pods.mapping(_hydrator(pod)).get("args")
    for word in args if type(args) is list else ():
        if type(word) is str and word.startswith(_MODEL) and len(word) <= _MOST_BYTES:
            try:
                told = json.loads(word.removeprefix(_MODEL).replace("$$", "$"))
            except (ValueError, RecursionError):
                continue
            directory, source = pods.mapping(told).get("directory"), pods.mapping(told).get("source")
            if type(directory) is str and type(source) is str:
                found[directory] = source.rstrip("/")
    return found


def _images(pod: Object) -> dict[str, str]:
    """The image volumes that are models, and the sources that these are."""
    found: dict[str, str] = {}
    for volume in pods.objects(pods.spec(pod).get("volumes")):
        name, reference = volume.get("name"), pods.mapping(volume.get("image")).get("reference")
        if type(name) is str and name.startswith(names.VOLUME_MODEL_PREFIX) and type(reference) is str:
            found[name] = f"oci://{reference}"
    return found


def _hydrator(pod: Object) -> Object | None:
    for one in pods.init_containers(pod):
        args = one.get("args")
        if one.get("name") == names.INIT_CONTAINER and type(args) is list and args[:1] == [_HYDRATE]:
            return one
    return None


def _shown(mount: Object) -> str:
    """What a mount shows: a directory of a cache (`namespaces/NS/DIRECTORY/current`, `DIRECTORY/current`) or a volume.

    A volume counts where its name is that of a model; empty for anything else.
    """
    name, path = mount.get("name"), mount.get("subPath")
    if type(name) is str and name.startswith(names.VOLUME_MODEL_PREFIX):
        return name
    parts = path.split("/") if type(path) is str and _is_ours(name) else []
    return parts[-2] if len(parts) > 1 and parts[-1] == "current" else ""


def _is_ours(name: Any) -> bool:
    return type(name) is str and (name.startswith(names.VOLUME_CACHE_PREFIX) or name == names.VOLUME_AWS_CONFIG)


def _zones(pod: Object) -> list[Object]:
    """The requirements by which Warmpod asked for zones, as its annotation tells."""
    text = pods.annotation(pod, names.ANNOTATION_DECISION) or ""
    found = _ZONES.search(text) if len(text) <= _MOST_BYTES else None
    pairs = [each.rpartition(":") for each in found[1].split(",")] if found else []
    return [{"key": label, "operator": "In", "values": [zone]} for label, _, zone in pairs]


def _unplaced(affinity: Object, zones: list[Object]) -> Object:
    node = pods.mapping(affinity.get("nodeAffinity"))
    if not node:
        return affinity
    made = {**node}
    _without(made, _PREFERRED, lambda term: _are_ours(pods.mapping(term.get("preference")), zones))
    required = pods.mapping(node.get(_REQUIRED))
    terms = required.get("nodeSelectorTerms")
    if type(terms) is list:
        left = [_widened(term, zones) for term in terms]
        if any(term is None for term in left):
            del made[_REQUIRED]  # there was none before: an empty term selects nothing, so none is ever narrowed
        elif left != terms:
            made[_REQUIRED] = {**required, "nodeSelectorTerms": left}
    if made:
        return {**affinity, "nodeAffinity": made}
    return {key: value for key, value in affinity.items() if key != "nodeAffinity"}


def _widened(term: Any, zones: list[Object]) -> Any:
    """The term without our requirements; None where it has no others."""
    if type(term) is not dict or type(term.get("matchExpressions")) is not list:
        return term
    left = [one for one in term["matchExpressions"] if not _is_warmth(one) and one not in zones]
    if len(left) == len(term["matchExpressions"]):
        return term
    others = {key: value for key, value in term.items() if key != "matchExpressions"}
    return {**others, "matchExpressions": left} if left else others or None


def _are_ours(term: Object, zones: list[Object]) -> bool:
    expressions = term.get("matchExpressions")
    if type(expressions) is not list or len(expressions) != 1:
        return False
    return _is_warmth(expressions[0]) or expressions[0] in zones


def _is_warmth(requirement: Any) -> bool:
    key = pods.mapping(requirement).get("key")
    wanted = pods.mapping(requirement).get("values")
    return type(key) is str and key.startswith(_IMAGE_OR_MODEL) and wanted == [names.NODE_LABEL_WARM]


def _lists(spec: Object) -> Iterator[tuple[str, list[Any]]]:
    for name in pods.CONTAINER_LISTS:
        found = spec.get(name)
        if type(found) is list:
            yield name, found


def _unmounted(container: Any, is_out: Any) -> Any:
    if type(container) is not dict:
        return container
    made = {**container}
    _without(made, "volumeMounts", is_out)
    return made


def _without(holder: Object, field: str, is_out: Any) -> None:
    """Take entries out of a list of a fresh object; the field goes with the last one."""
    found = holder.get(field)
    if type(found) is not list:
        return
    left = [one for one in found if not (type(one) is dict and is_out(one))]
    if len(left) == len(found):
        return
    if left:
        holder[field] = left
    else:
        del holder[field]
