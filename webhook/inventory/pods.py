"""What of a pod the inventory is made of: the images it ran, what it takes of its node, what its hydrator reported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from webhook.inventory.images import Images
from webhook.inventory.node_images import Use
from webhook.inventory.objects import Container, ContainerState, ContainerStatus, Pod, Resources, Terminated
from webhook.inventory.report import seconds
from webhook.kube import footprint, names
from webhook.kube.accelerator import Accelerators

_OVER = frozenset({"Succeeded", "Failed"})
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_IMAGE = f"{names.NODE_LABEL_PREFIX}image-"
_MODEL = f"{names.NODE_LABEL_PREFIX}model-"
# Of one pod: Warmpod itself adds two.
_MOST_ASKED = 64
_NO_STATE = ContainerState()


class PodFacts(NamedTuple):
    """A pod, condensed. Two of the same facts are equal.

    `requests` are the accelerators that it takes of its node, none when it is over; `reports` name its hydrator's last
    words by their digest; `asked` are our node labels that its affinity names, while it is not bound.
    """

    uid: str
    node: str
    uses: tuple[Use, ...]
    requests: tuple[tuple[str, int], ...]
    reports: tuple[bytes, ...]
    asked: tuple[str, ...]


def facts(pod: Pod, images: Images, accelerators: Accelerators) -> PodFacts:
    """Condense a pod."""
    node = pod.spec.node_name if pod.spec else ""
    over = pod.status is not None and pod.status.phase in _OVER
    return PodFacts(
        uid=pod.metadata.uid,
        node=node,
        uses=tuple(_uses(pod, images, over=over)) if node else (),
        requests=_requests(pod, accelerators) if node and not over else (),
        reports=tuple(_digest(words) for words in last_words(pod)) if node else (),
        asked=() if node else asked(pod),
    )


def last_words(pod: Pod) -> Iterator[Terminated]:
    """The ends of the pod's hydrator that left a message, the earlier run first."""
    statuses = (pod.status.init_container_statuses if pod.status else None) or ()
    for status in statuses:
        if status.name == names.INIT_CONTAINER:
            for state in (status.last_state, status.state):
                if state is not None and state.terminated is not None and state.terminated.message:
                    yield state.terminated


def asked(pod: Pod) -> tuple[str, ...]:
    """Our node labels that the pod's node affinity names, preferred or required, sorted."""
    node = _object(_object(pod.spec.affinity if pod.spec else None).get("nodeAffinity"))
    terms = [_object(each).get("preference") for each in _list(node.get(_PREFERRED))]
    terms += _list(_object(node.get(_REQUIRED)).get("nodeSelectorTerms"))
    found: set[str] = set()
    for term in terms:
        for requirement in _list(_object(term).get("matchExpressions")):
            key, operator = _object(requirement).get("key"), _object(requirement).get("operator")
            if isinstance(key, str) and key.startswith((_IMAGE, _MODEL)) and operator in ("In", "Exists"):
                found.add(key)
    return tuple(sorted(found)[:_MOST_ASKED])


def kind(label: str) -> str:
    """`image` or `model`: what one of our labels stands for."""
    return "image" if label.startswith(_IMAGE) else "model"


def _uses(pod: Pod, images: Images, *, over: bool) -> Iterator[Use]:
    status, spec = pod.status, pod.spec
    if status is None or spec is None:
        return
    ordered = {each.name: each.image for each in (*(spec.init_containers or ()), *(spec.containers or ()))}
    for container in _statuses(status.init_container_statuses, status.container_statuses):
        yield from _use(container, ordered.get(container.name, ""), images, over=over)
    # An ephemeral container's image is read of its status alone: it is there to debug, nobody places pods by it.
    for container in _statuses(status.ephemeral_container_statuses):
        yield from _use(container, "", images, over=over)


def _use(container: ContainerStatus, ordered: str, images: Images, *, over: bool) -> Iterator[Use]:
    state = container.state or _NO_STATE
    is_running = state.running is not None and not over
    ran = state.running or state.terminated
    if ran is not None:
        reference = images.reference(ordered, container.image, container.image_id)
    else:
        # It waits, and its image may have been changed: by the ID alone can we tell what ran before.
        reference = images.reference("", "", container.image_id)
    if reference.names:
        yield Use(reference, is_running, (seconds(ran.started_at) if ran else None) or 0.0)
    for mount in container.volume_mounts or ():
        volume = mount.volume_status.image if mount.volume_status else None
        if volume is not None:
            reference = images.reference("", "", volume.image_ref)
            if reference.names:
                yield Use(reference, is_running, 0.0)


def _statuses(*lists: list[ContainerStatus] | None) -> Iterator[ContainerStatus]:
    for each in lists:
        yield from each or ()


def _requests(pod: Pod, accelerators: Accelerators) -> tuple[tuple[str, int], ...]:
    spec = pod.spec
    assert spec is not None
    containers, init_containers = spec.containers or [], spec.init_containers or []
    if not any(_asks(each.resources, accelerators) for each in (*containers, *init_containers)):
        return ()
    plain = {
        "spec": {
            "containers": [_plain(each) for each in containers],
            "initContainers": [_plain(each) for each in init_containers],
        }
    }
    amounts = footprint.effective_requests(plain)
    return tuple(sorted((name, int(amount)) for name, amount in amounts.items() if accelerators.is_resource(name)))


def _asks(resources: Resources | None, accelerators: Accelerators) -> bool:
    return resources is not None and any(
        accelerators.is_resource(name) for amounts in (resources.requests, resources.limits) for name in amounts or ()
    )


def _plain(container: Container) -> dict[str, Any]:
    found: dict[str, Any] = {"restartPolicy": container.restart_policy}
    if container.resources is not None:
        found["resources"] = {
            "requests": container.resources.requests or {},
            "limits": container.resources.limits or {},
        }
    return found


def _digest(words: Terminated) -> bytes:
    text = f"{words.finished_at}\n{words.message}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
