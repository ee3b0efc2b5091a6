"""Which of a pod's artifacts are worth a term in its node affinity, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from webhook.inventory.candidates import Candidates
from webhook.inventory.model import Artifact
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.mutate import cost, node_affinity
from webhook.mutate.account import Account, Part
from webhook.mutate.node_affinity import Wish
from webhook.policy.model import Placement


class Choice(NamedTuple):
    """An artifact that tells a pod's candidates apart. `warm` of `nodes` bear its label, `roomy` of these have room.

    `account` is its policy's.
    """

    artifact: Artifact
    name: str
    placement: Placement
    warm: int
    roomy: int
    nodes: int
    seconds: float
    account: Account

    @property
    def wish(self) -> Wish:
        """What the pod would ask of a node."""
        return Wish(self.artifact.label, self.seconds)

    @property
    def told(self) -> str:
        """What its nodes are, for people."""
        if self.artifact.bytes == 0 and self.warm < self.nodes:
            worth = ", its size is not known yet"
        else:
            worth = f", {int(self.seconds)} s saved" if self.seconds >= 1 else ""
        return f"nodes that hold {self.name}: on {self.warm} of {self.nodes} candidates, {self.roomy} with room{worth}"


def obstacle(pod: Object, *, usable: bool) -> str:
    """Why no term would do this pod any good; empty when one might."""
    if pods.names_its_node(pod):
        return "placement: pod names its node"
    if pods.owned_by_daemonset(pod):
        return "placement: pod belongs to a DaemonSet"
    return "" if usable else "placement: no inventory that can be trusted"


def weigh(
    artifact: Artifact,
    placement: Placement,
    candidates: Candidates,
    *,
    rate: float,
    name: str,
    what: str,
    account: Account,
) -> Choice | None:
    """The artifact as a choice, when its label tells the candidates apart; else the account says why not.

    Only nodes that bear the label count: it is all that the scheduler sees. `name` is what people call the artifact.
    """
    nodes = candidates.able.bit_count()
    held = artifact.labelled & candidates.able
    warm = held.bit_count()
    if nodes == 0:
        account.leave(f"{what}: no node is known that this pod could run on")
        return None
    if warm == 0:
        if artifact.mask & candidates.able:
            account.leave(f"{what}: the nodes that hold it do not bear its label yet")
        else:
            account.leave(f"{what}: none of {nodes} candidates holds it")
        return None
    if warm == nodes and placement is Placement.PREFER:
        account.leave(f"{what}: every candidate holds it")
        return None
    saved = cost.seconds(artifact.bytes, rate) if warm < nodes else 0.0
    roomy = (held & candidates.roomy).bit_count()
    return Choice(artifact, name, placement, warm, roomy, nodes, saved, account)


def settle(pod: Object, choices: Sequence[Choice]) -> tuple[Object, float]:
    """The pod with the terms that these choices earn, and the seconds that the new ones save."""
    # One speaks for each label: the first that requires it, else the first.
    speakers: dict[str, Choice] = {}
    for choice in choices:
        other = speakers.setdefault(choice.artifact.label, choice)
        if other.placement is not Placement.REQUIRE and choice.placement is Placement.REQUIRE:
            speakers[choice.artifact.label] = choice
    there = node_affinity.preferred_labels(pod)
    saved, new = 0.0, []
    for label, choice in speakers.items():
        name, account = choice.name, choice.account
        if choice.placement is Placement.REQUIRE:
            before, pod = pod, node_affinity.require(pod, choice.wish)
            if pod is before:
                account.do(Part.PLACEMENT, f"requires nodes that hold {name} already")
            else:
                saved += choice.seconds
                account.do(Part.PLACEMENT, f"requires {choice.told}")
        elif label in there:
            account.do(Part.PLACEMENT, f"prefers nodes that hold {name} already")
        else:
            new.append(choice)
    new.sort(key=lambda choice: (-choice.seconds, choice.artifact.label))
    room = max(node_affinity.MAX_PREFERRED - len(there), 0)
    for choice in new[:room]:
        saved += choice.seconds
        choice.account.do(Part.PLACEMENT, f"prefers {choice.told}")
    for choice in new[room:]:
        most = node_affinity.MAX_PREFERRED
        choice.account.leave(f"{choice.name}: a pod gets {most} terms, others save more")
    for choice in choices:
        if speakers[choice.artifact.label] is not choice:
            told = f"shares the term for {choice.name} with another policy"
            choice.account.do(Part.PLACEMENT, told)
    return node_affinity.prefer(pod, [choice.wish for choice in new[:room]]), saved
