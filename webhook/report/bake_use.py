"""How often nodes come to need which image and model: counted over pods, as they were recorded or as they run.

Baking saves a node the first pull of an image; what comes later finds it there anyway. So what counts is the share of
nodes that come to need it at all: `per_node`, between 0 and 1. Where it is known on which nodes pods run, it is the
share of those; where only starts are known, as many as would be met if starts fell on nodes at random. Placement by
warmth lets them fall on fewer: the estimate is then too high for all images alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import msgspec

from webhook.kube import Object, image, names
from webhook.kube import pod as pods

Kind = Literal["image", "model"]

_MODEL: Final = "--model="
_LONGEST: Final = 64 * 1024


class Wanted(NamedTuple):
    """An image by its canonical name; or a model as the inventory calls it, and where its cache lies on nodes.

    `path` is empty for images, and for a model whose cache ends with its pod.
    """

    kind: Kind
    name: str
    tenant: str = ""
    path: str = ""


@dataclass(slots=True)
class Use:
    """Starts of pods that want one thing, and the nodes on which some of them run, as far as that is known."""

    starts: int = 0
    nodes: set[str] = field(default_factory=set)


class Uses:
    """What pods want, and how often. Pods come one by one, and none is kept.

    `digests` has, by image, the digest that the container started last was made of, as far as pods say.
    """

    def __init__(self) -> None:
        self.pods = 0
        self.found: dict[Wanted, Use] = {}
        self.digests: dict[str, str] = {}
        self._newest: dict[str, tuple[str, str]] = {}

    def add(self, pod: Object, node: str = "") -> None:
        """Count one pod. `node` is where it runs, where that is known. Bears any JSON object."""
        self.pods += 1
        for wanted in dict.fromkeys([*_images(pod), *_models(pod)]):
            use = self.found.setdefault(wanted, Use())
            use.starts += 1
            if node:
                use.nodes.add(node)
        for name, digest, started in _running(pod):
            newest = (started, digest)
            if newest > self._newest.get(name, ("", "")):
                self._newest[name] = newest
                self.digests[name] = digest


def per_node(starts: int, nodes: int) -> float:
    """The share of so many nodes that so many starts meet, each falling on any node: 1 - (1 - 1/n)^s."""
    if starts <= 0 or nodes <= 0:
        return 0.0
    return 1.0 if nodes == 1 else 1.0 - (1.0 - 1.0 / nodes) ** starts


def is_over(pod: Object) -> bool:
    """Whether the pod has ended, so that nothing of it runs."""
    return pods.mapping(pod.get("status")).get("phase") in ("Succeeded", "Failed")


def _images(pod: Object) -> Iterable[Wanted]:
    for text in pods.images(pod):
        name = image.canonical(text)
        if name is not None:
            yield Wanted("image", name)


def _models(pod: Object) -> Iterable[Wanted]:
    """What the init container of ours brings, by its own arguments and mounts."""
    ours = next((one for one in pods.init_containers(pod) if one.get("name") == names.INIT_CONTAINER), None)
    if ours is None:
        return
    arguments = ours.get("args")
    for text in arguments if isinstance(arguments, list) else ():
        told = _told(text)
        source, directory = told.get("source"), told.get("directory")
        if isinstance(source, str) and isinstance(directory, str):
            whole = directory == names.directory(source)
            tenant = told.get("tenant")
            yield Wanted(
                "model",
                source if whole else names.selection(source, directory),
                tenant if isinstance(tenant, str) else "",
                _place(pod, ours, told.get("cache"), directory),
            )


def _told(text: Any) -> Object:
    if not isinstance(text, str) or not text.startswith(_MODEL) or len(text) > _LONGEST:
        return {}
    try:
        return pods.mapping(msgspec.json.decode(text.removeprefix(_MODEL).replace("$$", "$")))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


def _place(pod: Object, ours: Object, cache: Any, directory: str) -> str:
    """Where the node has the model's directory; empty where its cache is no directory of the node's."""
    mount = next((one for one in pods.objects(ours.get("volumeMounts")) if one.get("mountPath") == cache), {})
    for volume in pods.objects(pods.spec(pod).get("volumes")):
        path = pods.mapping(volume.get("hostPath")).get("path")
        if volume.get("name") == mount.get("name") and isinstance(path, str):
            below = mount.get("subPath")
            return "/".join([path.rstrip("/"), *([below] if isinstance(below, str) and below else []), directory])
    return ""


def _running(pod: Object) -> Iterable[tuple[str, str, str]]:
    """Canonical image, digest and time of start of each container that has started."""
    written = {
        (place, container.get("name")): container.get("image") for place, _, container in pods.every_container(pod)
    }
    status = pods.mapping(pod.get("status"))
    for place, kind in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        for one in pods.objects(status.get(kind)):
            text, identity = written.get((place, one.get("name"))), one.get("imageID")
            name = image.canonical(text) if isinstance(text, str) else None
            if name is None or not isinstance(identity, str):
                continue
            digest = identity.partition("@")[2]
            state = pods.mapping(one.get("state"))
            times = [pods.mapping(state.get(key)).get("startedAt") for key in ("running", "terminated")]
            started = next((time for time in times if isinstance(time, str)), "")
            if image.canonical(f"x@{digest}") is not None:
                yield name, digest, started
