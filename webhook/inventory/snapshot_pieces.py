"""What one part of a snapshot file says, checked: the pieces of which an inventory is put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.inventory import nodeset
from webhook.inventory.model import Artifact, NodeRoom, Taint
from webhook.inventory.nodeset import NodeSet
from webhook.inventory.records import Held, Node, Part, UnreadableSnapshot
from webhook.kube import Object, names


@dataclass(frozen=True, slots=True)
class Piece:
    """What a part says, its sets of nodes being of `count` nodes. Immutable to its users."""

    count: int
    nodes: list[NodeRoom]
    artifacts: list[Artifact]
    labels: dict[str, dict[str, NodeSet]] | None
    taints: list[Taint]
    namespaces: dict[str, dict[str, str]]
    claims: dict[str, tuple[str, ...]]
    systems: dict[str, int]
    kubelets: dict[str, int]
    server: str
    volumes: dict[str, tuple[Object, ...]]


def piece(part: Part, count: int, where: str) -> Piece:
    """The piece of a part. UnreadableSnapshot, whose text begins with `where`, for what contradicts itself."""
    return Piece(
        count=count,
        nodes=_nodes(part.nodes),
        artifacts=[_artifact(held, count, f"{where}artifacts[{place}]") for place, held in enumerate(part.artifacts)],
        labels=None if part.labels is None else _checked(part.labels, count, where),
        taints=[
            Taint(each.key, each.value, each.effect, _load(each.nodes, count, f"{where}taint {each.key!r}"))
            for each in part.taints
        ],
        namespaces=part.namespaces,
        claims={name: tuple(classes) for name, classes in part.resource_claims.items()},
        systems={each: _load(nodes, count, f"{where}system {each!r}") for each, nodes in part.systems.items()},
        kubelets={each: _load(nodes, count, f"{where}kubelet {each!r}") for each, nodes in part.kubelets.items()},
        server=part.server,
        volumes={_claim(claim, where): tuple(terms) for claim, terms in part.volumes.items()},
    )


def _claim(claim: str, where: str) -> str:
    namespace, _, name = claim.partition("/")
    if not namespace or not name or "/" in name:
        raise UnreadableSnapshot(f"{where}volumes: {claim!r} is not NAMESPACE/CLAIM")
    return claim


def _nodes(nodes: Iterable[Node]) -> list[NodeRoom]:
    found: list[NodeRoom] = []
    shared: dict[tuple[tuple[str, int, int], ...], dict[str, tuple[int, int]]] = {}
    for node in nodes:
        # Nodes of one kind say the same: hundreds of them share a few mappings.
        key = tuple([(name, room.allocatable, room.free) for name, room in node.accelerators.items()])
        if key not in shared:
            shared[key] = {name: (able, free) for name, able, free in key}
        found.append(NodeRoom(node.name, shared[key]))
    return found


def _checked(labels: dict[str, dict[str, NodeSet]], count: int, where: str) -> dict[str, dict[str, NodeSet]]:
    for key, values in labels.items():
        for value, nodes in values.items():
            try:
                nodeset.check(nodes, count)
            except ValueError as error:
                raise UnreadableSnapshot(f"{where}label {key!r} of value {value!r}: {error}") from error
    return labels


def _artifact(held: Held, count: int, place: str) -> Artifact:
    where = f"{place} {held.name!r}"
    label = held.label and f"{names.NODE_LABEL_PREFIX}{held.label}"
    if held.name:
        of_name = names.image_label(held.name) if held.kind == "image" else names.model_label(held.name, held.tenant)
        if label and label != of_name:
            told = of_name.removeprefix(names.NODE_LABEL_PREFIX)
            raise UnreadableSnapshot(f"{where}: its label is {held.label!r}, by its name it is {told!r}")
        label = of_name
    elif held.kind == "image" or not _is_model_label(label):
        raise UnreadableSnapshot(
            f"{where}: it has no name, and its label is {held.label!r}, where model- and 16 hexadecimal digits belong"
        )
    mask, unlabelled = (_load(nodes, count, where) for nodes in (held.nodes, held.unlabelled))
    if unlabelled & ~mask:
        raise UnreadableSnapshot(f"{where}: a node lacks its label that is not warm for it")
    return Artifact(held.kind, held.name, held.tenant, held.bytes, label, mask, unlabelled)


def _load(nodes: NodeSet, count: int, where: str) -> int:
    try:
        return nodeset.load(nodes, count)
    except ValueError as error:
        raise UnreadableSnapshot(f"{where}: {error}") from error


def _is_model_label(label: str) -> bool:
    digest = label.removeprefix(f"{names.NODE_LABEL_PREFIX}model-")
    return digest != label and len(digest) == 16 and all(digit in "0123456789abcdef" for digit in digest)
