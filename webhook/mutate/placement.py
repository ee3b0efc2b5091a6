"""Which of a pod's artifacts are worth a term in its node affinity, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webhook.inventory.model import Artifact, Inventory
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.mutate import cost, node_affinity
from webhook.mutate.account import Account, Part
from webhook.mutate.node_affinity import Wish
from webhook.policy.model import Placement


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artifact that some nodes hold. `warm` of `nodes` candidates do; `account` is its policy's."""

    artifact: Artifact
    placement: Placement
    warm: int
    nodes: int
    seconds: float
    account: Account

    @property
    def wish(self) -> Wish:
        """What the pod would ask of a node."""
        return Wish(self.artifact.label, self.seconds)


def obstacle(pod: Object, *, usable: bool) -> str:
    """Why no term would do this pod any good; empty when one might."""
    if pods.names_its_node(pod):
        return "placement: pod names its node"
    if pods.owned_by_daemonset(pod):
        return "placement: pod belongs to a DaemonSet"
    return "" if usable else "placement: no inventory that can be trusted"


def weigh(
    artifact: Artifact | None,
    placement: Placement,
    inventory: Inventory,
    resources: frozenset[str],
    *,
    rate: float,
    what: str,
    account: Account,
) -> Candidate | None:
    """The artifact as a candidate, when its warmth tells the pod's nodes apart; else the account says why not."""
    warm = 0 if artifact is None else inventory.warm(artifact, resources)
    if artifact is None or warm == 0:
        account.leave(f"{what}: no node holds it")
        return None
    nodes = inventory.candidates(resources)
    if warm == nodes and placement is Placement.PREFER:
        account.leave(f"{what}: every candidate holds it")
        return None
    saved = cost.seconds(artifact.bytes, rate) if warm < nodes else 0.0
    return Candidate(artifact, placement, warm, nodes, saved, account)


def settle(pod: Object, candidates: Sequence[Candidate]) -> tuple[Object, float]:
    """The pod with the terms that its candidates earn, and the seconds that the new ones save."""
    required = {c.artifact.label: c for c in reversed(candidates) if c.placement is Placement.REQUIRE}
    saved = 0.0
    for candidate in dict.fromkeys(required[c.artifact.label] for c in candidates if c.artifact.label in required):
        before, pod = pod, node_affinity.require(pod, [candidate.wish])
        if pod is before:
            candidate.account.do(Part.PLACEMENT, f"requires nodes that hold {candidate.artifact.name} already")
        else:
            saved += candidate.seconds
            candidate.account.do(
                Part.PLACEMENT, f"requires {_count(candidate)} that hold {candidate.artifact.name}{_worth(candidate)}"
            )
    preferred = {c.artifact.label: c for c in reversed(candidates) if c.artifact.label not in required}
    there = frozenset(node_affinity.preferred_labels(pod))
    new = node_affinity.chosen(pod, [c.wish for c in preferred.values()])
    chosen = {wish.label for wish in new}
    for candidate in candidates:
        label, name = candidate.artifact.label, candidate.artifact.name
        if preferred.get(label) is not candidate:
            if required.get(label) is not candidate:
                candidate.account.do(Part.PLACEMENT, f"shares the term for {name} with an earlier policy")
        elif label in chosen:
            saved += candidate.seconds
            candidate.account.do(Part.PLACEMENT, f"prefers {_count(candidate)} that hold {name}{_worth(candidate)}")
        elif label in there:
            candidate.account.do(Part.PLACEMENT, f"prefers nodes that hold {name} already")
        else:
            candidate.account.leave(f"{name}: a pod gets {node_affinity.MAX_PREFERRED} terms, others save more")
    return node_affinity.prefer(pod, new), saved


def _count(candidate: Candidate) -> str:
    return f"{candidate.warm} of {candidate.nodes} nodes"


def _worth(candidate: Candidate) -> str:
    return f" ({int(candidate.seconds)} s saved)" if candidate.seconds >= 1 else ""
