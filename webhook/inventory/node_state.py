"""One node as the accumulator keeps it: its own facts, those of the pods on it, and what follows for its labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from webhook.inventory import node_images
from webhook.inventory.images import ImageReference
from webhook.inventory.model import NodeRoom
from webhook.inventory.models import Models
from webhook.inventory.node_images import NOTHING_KNOWN, Listing, Use
from webhook.inventory.node_models import NEVER, Key, NodeModels
from webhook.inventory.nodes import NodeFacts
from webhook.inventory.plan import Holding, plan
from webhook.inventory.pods import PodFacts
from webhook.inventory.stock import Row
from webhook.kube import names

_NO_LABELS: Mapping[str, str] = {}
_LONGEST_TIME = 12


class Former(NamedTuple):
    """A use whose pod is gone: until when, in unix seconds, the kubelet is expected to leave the image alone."""

    use: Use
    until: float


class NodeState:
    """A node, or the name of one that pods are bound to while it is not known itself (`facts` is None).

    `boot` is the last boot ID that was seen, which an empty one does not replace. `named` are the models that the
    directory knows of this node. `holdings` and `planned` are as of the last `settle`.
    """

    __slots__ = (
        "boot",
        "facts",
        "former",
        "holdings",
        "listing",
        "models",
        "name",
        "named",
        "planned",
        "pods",
        "room",
        "used",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: NodeFacts | None = None
        self.boot = ""
        self.listing: Listing = NOTHING_KNOWN
        self.pods: dict[str, PodFacts] = {}
        self.used: dict[str, int] = {}
        self.former: dict[ImageReference, Former] = {}
        self.models = NodeModels()
        self.named: set[Key] = set()
        self.holdings: dict[str, Holding] = {}
        self.planned: list[Holding] = []
        self.room: NodeRoom | None = None

    def uses(self) -> Iterator[Use]:
        """What the containers of the pods on the node ran."""
        for pod in self.pods.values():
            yield from pod.uses

    def adopted(self) -> dict[str, float]:
        """Model labels that the node bears from the boot that it is in, and the time up to which they are true."""
        ours = self.facts.ours if self.facts else _NO_LABELS
        boot, since = boot_mark(ours)
        if boot != names.digest16(self.boot):
            return {}
        return {
            label: since
            for label, value in ours.items()
            if value == names.NODE_LABEL_WARM and label.startswith(f"{names.NODE_LABEL_PREFIX}model-")
        }

    def settle(self, models: Models, devices: Mapping[str, tuple[int, int]], *, least: int, most: int) -> None:
        """Work out what the node holds, what of that is labelled, and what room it has.

        `least` is the size from which images count, `most` the number of labels; `devices` are what drivers of dynamic
        resource allocation offer here.
        """
        facts = self.facts
        if facts is None or not (facts.accelerators or devices):
            self.room, self.holdings, self.planned = None, {}, []
            return
        accelerators = {
            name: (able, max(0, able - self.used.get(name, 0))) for name, able in sorted(facts.accelerators.items())
        }
        accelerators.update(sorted(devices.items()))
        if self.room is None or self.room.accelerators != accelerators:
            self.room = NodeRoom(self.name, accelerators)
        former = {reference: each.use for reference, each in self.former.items()}
        holdings = node_images.held(self.listing, self.uses(), former, least=least)
        for model in self._models(models):
            before = holdings.get(model.label)
            if before is None or before.bytes < model.bytes:
                holdings[model.label] = model
        if holdings != self.holdings:
            self.holdings = holdings
        self.planned = plan(holdings.values(), most)

    def labels(self) -> dict[str, str]:
        """Our labels that the node should bear."""
        found = {holding.label: names.NODE_LABEL_WARM for holding in self.planned}
        models = {holding.label for holding in self.planned if holding.kind == "model"}
        if models:
            found[names.NODE_LABEL_BOOT] = self._mark(models)
        return found

    def row(self) -> Row | None:
        """What the node adds to the inventory."""
        facts = self.facts
        if facts is None or self.room is None:
            return None
        held = {holding.label: holding for holding in self.planned} if facts.takes_pods else {}
        missing = frozenset(label for label in held if facts.ours.get(label) != names.NODE_LABEL_WARM)
        return Row(self.room, facts.labels, facts.taints, facts.system, facts.kubelet, held, missing)

    def _models(self, models: Models) -> Iterator[Holding]:
        reported: set[Key] = set()
        for held in self.models.held():
            key = (held.tenant, held.source)
            reported.add(key)
            if models.is_current(key, held.version):
                yield Holding(models.label(key), "model", held.source, held.tenant, held.bytes)
        for label, since in self.adopted().items():
            known = models.named(label)
            if known is None:
                yield Holding(label, "model", "", "", 0, adopted=True)
            elif known not in reported and not self.models.is_gone(known, since):
                yield Holding(label, "model", known[1], known[0], models.remembered_bytes(label), adopted=True)

    def _mark(self, models: set[str]) -> str:
        """The boot label's value: the boot, and up to when reports were heeded; the one it bears, if that will do."""
        boot = names.digest16(self.boot)
        ours = self.facts.ours if self.facts else _NO_LABELS
        borne, since = boot_mark(ours)
        adopted = self.adopted()
        if borne == boot and adopted.keys() == models:
            return ours[names.NODE_LABEL_BOOT]
        latest = max(self.models.latest, since if borne == boot else NEVER)
        return f"{boot}.{int(latest)}" if 0 <= latest < 10**_LONGEST_TIME else boot


def boot_mark(labels: Mapping[str, str]) -> tuple[str, float]:
    """Which boot the model labels of a node are from, and up to when, in unix seconds, reports had been heeded."""
    boot, _, time = labels.get(names.NODE_LABEL_BOOT, "").partition(".")
    is_time = time.isascii() and time.isdigit() and len(time) <= _LONGEST_TIME
    return boot, float(time) if is_time else NEVER
