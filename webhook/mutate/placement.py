"""Which of a pod's artifacts are worth a term in its node affinity, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from webhook.inventory.model import Artifact, Inventory
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.mutate import cost, node_affinity
from webhook.mutate.account import Account, Part
from webhook.mutate.node_affinity import Wish
from webhook.policy.model import Placement


class Candidate(NamedTuple):
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
    # One speaks for each label: the first that requires it, else the first.
    speakers: dict[str, Candidate] = {}
    for candidate in candidates:
        other = speakers.setdefault(candidate.artifact.label, candidate)
        if other.placement is not Placement.REQUIRE and candidate.placement is Placement.REQUIRE:
            speakers[candidate.artifact.label] = candidate
    there = node_affinity.preferred_labels(pod)
    saved, new = 0.0, []
    for label, candidate in speakers.items():
        name, account = candidate.artifact.name, candidate.account
        if candidate.placement is Placement.REQUIRE:
            before, pod = pod, node_affinity.require(pod, candidate.wish)
            if pod is before:
                account.do(Part.PLACEMENT, f"requires nodes that hold {name} already")
            else:
                saved += candidate.seconds
                account.do(Part.PLACEMENT, f"requires {_count(candidate)} that hold {name}{_worth(candidate)}")
        elif label in there:
            account.do(Part.PLACEMENT, f"prefers nodes that hold {name} already")
        else:
            new.append(candidate)
    new.sort(key=lambda candidate: (-candidate.seconds, candidate.artifact.label))
    room = max(node_affinity.MAX_PREFERRED - len(there), 0)
    for candidate in new[:room]:
        saved += candidate.seconds
        told = f"prefers {_count(candidate)} that hold {candidate.artifact.name}{_worth(candidate)}"
        candidate.account.do(Part.PLACEMENT, told)
    for candidate in new[room:]:
        most = node_affinity.MAX_PREFERRED
        candidate.account.leave(f"{candidate.artifact.name}: a pod gets {most} terms, others save more")
    for candidate in candidates:
        if speakers[candidate.artifact.label] is not candidate:
            told = f"shares the term for {candidate.artifact.name} with another policy"
            candidate.account.do(Part.PLACEMENT, told)
    return node_affinity.prefer(pod, [candidate.wish for candidate in new[:room]]), saved


def _count(candidate: Candidate) -> str:
    return f"{candidate.warm} of {candidate.nodes} nodes"


def _worth(candidate: Candidate) -> str:
    return f" ({int(candidate.seconds)} s saved)" if candidate.seconds >= 1 else ""
