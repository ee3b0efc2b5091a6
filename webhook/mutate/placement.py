"""Which of a pod's artifacts are worth a term in its node affinity, and what each is worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from webhook.cost.seconds import seconds
from webhook.inventory.candidates import Candidates
from webhook.inventory.model import Artifact
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.mutate import node_affinity
from webhook.mutate.account import Account, Part
from webhook.mutate.node_affinity import Wish
from webhook.policy.model import Placement

Label = tuple[str, str]
"""Key and value of a node's label."""


class Choice(NamedTuple):
    """A place that tells a pod's candidates apart, or that a policy requires.

    `name` is what lies there, `place` the nodes of it and `told` how many of them there are, for people. `account` is
    its policy's.
    """

    wish: Wish
    placement: Placement
    name: str
    place: str
    told: str
    account: Account

    @property
    def seconds(self) -> float:
        """What it saves."""
        return self.wish.seconds


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
    saved = seconds(artifact.bytes, rate) if warm < nodes else 0.0
    if artifact.bytes == 0 and warm < nodes:
        worth = ", its size is not known yet"
    else:
        worth = f", {int(saved)} s saved" if saved >= 1 else ""
    roomy = (held & candidates.roomy).bit_count()
    told = f"on {warm} of {nodes} candidates, {roomy} with room{worth}"
    return Choice(Wish(artifact.label, saved), placement, name, f"nodes that hold {name}", told, account)


def settle(pod: Object, choices: Sequence[Choice], zones: Collection[Label] = ()) -> tuple[Object, float]:
    """The pod with the terms that these choices earn, and the seconds that the new ones save.

    `zones` are all labels of zones that policies wish for on this pod, whatever came of it: a preferred term for one of
    them counts as ours, so that a second review finds no more room than the first one left.
    """
    # One speaks for each label: the first that requires it, else the first.
    speakers: dict[Label, Choice] = {}
    for choice in choices:
        other = speakers.setdefault(_label(choice), choice)
        if other.placement is not Placement.REQUIRE and choice.placement is Placement.REQUIRE:
            speakers[_label(choice)] = choice
    there = [(label, names.NODE_LABEL_WARM) for label in node_affinity.preferred_labels(pod)]
    there += [zone for zone in dict.fromkeys(node_affinity.preferred_zones(pod)) if zone in zones]
    saved, new = 0.0, []
    for label, choice in speakers.items():
        account = choice.account
        if choice.placement is Placement.REQUIRE:
            before, pod = pod, node_affinity.require(pod, choice.wish)
            if pod is before:
                account.do(Part.PLACEMENT, f"already requires {choice.place}")
            else:
                saved += choice.seconds
                account.do(Part.PLACEMENT, f"requires {choice.place}: {choice.told}")
        elif label in there:
            account.do(Part.PLACEMENT, f"already prefers {choice.place}")
        else:
            new.append(choice)
    new.sort(key=lambda choice: (-choice.seconds, choice.wish.label, choice.wish.value))
    room = max(node_affinity.MAX_PREFERRED - len(there), 0)
    for choice in new[:room]:
        saved += choice.seconds
        choice.account.do(Part.PLACEMENT, f"prefers {choice.place}: {choice.told}")
    lost = {_label(choice) for choice in new[room:]}
    for choice in choices:
        speaker = speakers[_label(choice)]
        if _label(choice) in lost:
            most = node_affinity.MAX_PREFERRED
            choice.account.leave(f"{choice.name}: a pod gets {most} terms, others save more")
        elif speaker is not choice:
            whose = "of this policy" if speaker.account is choice.account else "with another policy"
            choice.account.do(Part.PLACEMENT, f"shares the term for {choice.name} {whose}")
    return node_affinity.prefer(pod, [choice.wish for choice in new[:room]]), saved


def _label(choice: Choice) -> Label:
    return choice.wish.label, choice.wish.value
