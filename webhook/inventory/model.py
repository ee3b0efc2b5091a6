"""Which nodes hold which artifacts, at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from webhook.inventory import nodeset
from webhook.inventory.candidates import Candidates, Columns, Demand
from webhook.kube import Object, names

Kind = Literal["image", "model"]

# Questions come from pods: bounds on what they can make us keep.
_MOST_NAMES = 4096
_MOST_DEMANDS = 1024


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image or a model that at least one node was seen to hold.

    `name` is the canonical image name or source URI, empty for a model known by nothing but its label; `tenant` the
    namespace whose pods may use it, empty for the whole cluster; `bytes` its size on disk, 0 when unknown; `label` the
    key of the label its nodes bear. `mask` is the set of the nodes that are warm for it (see
    `webhook.inventory.nodeset`), `unlabelled` those of them that do not bear the label yet.
    """

    kind: Kind
    name: str
    tenant: str
    bytes: int
    label: str
    mask: int
    unlabelled: int = 0

    @property
    def nodes(self) -> tuple[int, ...]:
        """The indexes of its warm nodes, ascending."""
        return nodeset.indexes(self.mask)

    @property
    def labelled(self) -> int:
        """The set of warm nodes that bear the label: what the scheduler can see."""
        return self.mask & ~self.unlabelled


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """An accelerator node: by resource name, how much a pod can be given of it, and how much of that is free.

    A driver of dynamic resource allocation counts as a resource whose name has no slash; its devices are counted.
    """

    name: str
    accelerators: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint, and the set of the nodes that have it. `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    value: str
    effect: str
    mask: int


class Inventory:
    """What every accelerator node holds, and the cluster's facts that travel with it. Immutable.

    Counting nodes is a bit-and of two integers, whatever the size of the cluster. `id` names the snapshot in decisions,
    `time` is when it was taken, in unix seconds. `claims` maps "namespace/name" of a resource claim, or of a claim
    template, to its device classes. `labels` are the nodes' labels but ours: key to value to the set of nodes; None
    when they are not known, and then no pod's selector rules out a node.

    `systems` are the nodes by operating system (`webhook.ec2.systems`), `kubelets` by their kubelet's minor version
    ("1.36", or "1.36 on containerd 1.7" where the runtime cannot do what it leaves to it: `inventory.versions`); a node
    that is in none of the sets has not said. `server` is the API server's minor version, empty when not known.
    `volumes` maps "namespace/name" of a claim to the required node selector terms of the PersistentVolume that it is
    bound to, none where that can be reached from anywhere; claims that are not in it may not be bound.
    """

    __slots__ = (
        "_artifacts",
        "_candidates",
        "_columns",
        "_labels",
        "_warm",
        "artifacts",
        "claims",
        "id",
        "kubelets",
        "labels",
        "namespaces",
        "nodes",
        "server",
        "systems",
        "taints",
        "time",
        "volumes",
    )

    def __init__(
        self,
        *,
        id: str = "",  # noqa: A002  the word the snapshot file has for it
        time: float = 0.0,
        nodes: Iterable[NodeRoom] = (),
        artifacts: Iterable[Artifact] = (),
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        claims: Mapping[str, tuple[str, ...]] | None = None,
        labels: Mapping[str, Mapping[str, int]] | None = None,
        taints: Sequence[Taint] = (),
        systems: Mapping[str, int] | None = None,
        kubelets: Mapping[str, int] | None = None,
        server: str = "",
        volumes: Mapping[str, tuple[Object, ...]] | None = None,
    ) -> None:
        self.id = id
        self.time = time
        self.nodes = tuple(nodes)
        self.artifacts = tuple(artifacts)
        self.namespaces: Mapping[str, Mapping[str, str]] = namespaces or {}
        self.claims: Mapping[str, tuple[str, ...]] = claims or {}
        self.labels = labels
        self.taints = tuple(taints)
        self.systems: Mapping[str, int] = systems or {}
        self.kubelets: Mapping[str, int] = kubelets or {}
        self.server = server
        self.volumes: Mapping[str, tuple[Object, ...]] = volumes or {}
        # A source is one with or without the slash at its end.
        self._artifacts = {
            (artifact.kind, artifact.name.rstrip("/"), artifact.tenant): artifact
            for artifact in self.artifacts
            if artifact.name
        }
        self._labels = {artifact.label: artifact for artifact in self.artifacts}
        # These fill as questions come; the same question always has the same answer.
        self._columns: Columns | None = None
        self._candidates: dict[Demand, Candidates] = {}
        self._warm: dict[str, int] = {}

    def again(self, id: str, time: float) -> Inventory:  # noqa: A002  as above
        """The same inventory, seen unchanged at another time. What was worked out of it is shared."""
        other = Inventory.__new__(Inventory)
        for name in Inventory.__slots__:
            setattr(other, name, getattr(self, name))
        other.id, other.time = id, time
        return other

    def image(self, name: str) -> Artifact | None:
        """The image of this canonical name, if any node holds it."""
        return self._artifacts.get(("image", name, ""))

    def model(self, source: str, tenant: str) -> Artifact | None:
        """The model of this canonical source, as far as pods of `tenant` (empty: of the whole cluster) may use it.

        One that is known by its label only is found by that.
        """
        found = self._artifacts.get(("model", source.rstrip("/"), tenant))
        return found or self._labels.get(names.model_label(source, tenant))

    def candidates(self, demand: Demand) -> Candidates:
        """The nodes on which a pod of this demand could run. Remembered; the same demand has the same answer."""
        known = self._candidates.get(demand)
        if known is None:
            known = self.columns.candidates(demand)
            if len(self._candidates) >= _MOST_DEMANDS:
                self._candidates.clear()
            if demand.is_short:
                self._candidates[demand] = known
        return known

    @property
    def columns(self) -> Columns:
        """The nodes by what is asked of them. Made when first asked for: by a snapshot's reader, not in a review."""
        if self._columns is None:
            ours = {label: artifact.labelled for label, artifact in self._labels.items()}
            self._columns = Columns(self.nodes, self.labels, self.taints, ours)
        return self._columns

    def warm_nodes(self, name: str) -> int:
        """How many nodes hold the image or model of this canonical name, whoever may use it."""
        if name not in self._warm:
            if len(self._warm) >= _MOST_NAMES:
                self._warm.clear()
            together = 0
            for artifact in self.artifacts:
                if artifact.name and artifact.name.rstrip("/") == name.rstrip("/"):
                    together |= artifact.mask
            self._warm[name] = together.bit_count()
        return self._warm[name]

    def age(self, now: float) -> float:
        """Seconds since the snapshot was taken; negative when its clock is ahead of ours."""
        return now - self.time


EMPTY = Inventory()
"""Nothing known: what a decision gets while there is no snapshot that can be trusted."""
