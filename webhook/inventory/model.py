"""Which nodes hold which artifacts, at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["image", "model"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image or a model that at least one node was seen to hold.

    `name` is the canonical image name or source URI; `tenant` the namespace whose pods may use it, empty for the whole
    cluster; `bytes` its size on disk, 0 when unknown; `label` the key of the label its warm nodes carry; `nodes` the
    indexes of these nodes in the inventory, ascending.
    """

    kind: Kind
    name: str
    tenant: str
    bytes: int
    label: str
    nodes: tuple[int, ...]
    mask: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _mask(self.nodes))


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """An accelerator node: per resource name what it can allocate and what of that is free."""

    name: str
    accelerators: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Inventory:
    """What every accelerator node holds, and the cluster's facts that travel with it. Immutable.

    Counting nodes is a bit-and of two integers, whatever the size of the cluster. `id` names the snapshot in decisions,
    `time` is when it was taken, in unix seconds. `claims` maps "namespace/name" of a resource claim, or of a claim
    template, to its device classes.
    """

    __slots__ = ("_artifacts", "_candidates", "_warm", "artifacts", "claims", "id", "namespaces", "nodes", "time")

    def __init__(
        self,
        *,
        id: str = "",  # noqa: A002  the word the snapshot file has for it
        time: float = 0.0,
        nodes: Iterable[NodeRoom] = (),
        artifacts: Iterable[Artifact] = (),
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        claims: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.id = id
        self.time = time
        self.nodes = tuple(nodes)
        self.artifacts = tuple(artifacts)
        self.namespaces: Mapping[str, Mapping[str, str]] = namespaces or {}
        self.claims: Mapping[str, tuple[str, ...]] = claims or {}
        # A source is one with or without the slash at its end.
        self._artifacts = {
            (artifact.kind, artifact.name.rstrip("/"), artifact.tenant): artifact for artifact in self.artifacts
        }
        # Both fill as questions come; the same question always has the same answer.
        self._candidates: dict[frozenset[str], tuple[int, int]] = {}
        self._warm: dict[str, int] = {}

    def image(self, name: str) -> Artifact | None:
        """The image of this canonical name, if any node holds it."""
        return self._artifacts.get(("image", name, ""))

    def model(self, source: str, tenant: str) -> Artifact | None:
        """The model of this canonical source, as far as pods of `tenant` (empty: of the whole cluster) may use it."""
        return self._artifacts.get(("model", source.rstrip("/"), tenant))

    def candidates(self, resources: frozenset[str]) -> int:
        """How many nodes can allocate every one of these resources.

        A name without a slash is a device class of dynamic resource allocation, of which nodes say nothing: it rules
        out no node.
        """
        return self._masks(resources)[0].bit_count()

    def warm(self, artifact: Artifact, resources: frozenset[str]) -> int:
        """How many of the candidates hold the artifact."""
        return (artifact.mask & self._masks(resources)[0]).bit_count()

    def roomy(self, artifact: Artifact, resources: frozenset[str]) -> int:
        """How many of the candidates hold the artifact and have at least one of each resource free."""
        return (artifact.mask & self._masks(resources)[1]).bit_count()

    def warm_nodes(self, name: str) -> int:
        """How many nodes hold the image or model of this canonical name, whoever may use it."""
        if name not in self._warm:
            if len(self._warm) >= 4096:  # names come from pods: a bound on what they can make us keep
                self._warm.clear()
            together = 0
            for artifact in self.artifacts:
                if artifact.name.rstrip("/") == name.rstrip("/"):
                    together |= artifact.mask
            self._warm[name] = together.bit_count()
        return self._warm[name]

    def age(self, now: float) -> float:
        """Seconds since the snapshot was taken; negative when its clock is ahead of ours."""
        return now - self.time

    def _masks(self, resources: frozenset[str]) -> tuple[int, int]:
        known = self._candidates.get(resources)
        if known is None:
            wanted = [name for name in resources if "/" in name]
            allocatable, free = [], []
            for index, node in enumerate(self.nodes):
                room = [node.accelerators.get(name, (0, 0)) for name in wanted]
                if all(able > 0 for able, _ in room):
                    allocatable.append(index)
                    if all(left > 0 for _, left in room):
                        free.append(index)
            if len(self._candidates) >= 1024:
                self._candidates.clear()
            known = self._candidates[resources] = (_mask(allocatable), _mask(free))
        return known


def _mask(indexes: Iterable[int]) -> int:
    indexes = tuple(indexes)
    if not indexes:
        return 0
    bits = bytearray(max(indexes) // 8 + 1)
    for index in indexes:
        bits[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(bits, "little")


EMPTY = Inventory()
"""Nothing known: what a decision gets while there is no snapshot that can be trusted."""
