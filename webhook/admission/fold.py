"""The matched policies, folded over a pod: every edit that they ask for, in name order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from webhook.admission.delivering import deliver
from webhook.admission.placing import place
from webhook.admission.recipe import Recipe, recipe
from webhook.admission.scene import Matched, Scene
from webhook.kube import Object, names
from webhook.mutate import merge, node_affinity, s3_client, volumes
from webhook.mutate.account import Account
from webhook.mutate.draft import Draft
from webhook.mutate.instance_types import Network, network_of
from webhook.mutate.tuning import tune
from webhook.policy.model import Policy

_MAX_TOLD = 1024


class Folded(NamedTuple):
    """What came of it: the very pod that went in where nothing changed. `paths` are those that redirects may name."""

    pod: Object
    accounts: tuple[Account, ...]
    seconds: float
    paths: frozenset[str]


def fold(matched: Sequence[Matched], scene: Scene) -> Folded:
    """Every edit of the matched policies. Models of all of them share one init container, and two preferred terms."""
    sent = scene.sent
    draft = Draft(sent)
    accounts = tuple([Account() for _ in matched])
    pairs = list(zip(matched, accounts, strict=True))
    for each, account in pairs:
        _furnish(draft, recipe(each.policy), scene, account)
    # What suits a pod yields to what any of the policies says itself.
    for each, account in pairs:
        if each.policy.auto_profiles:
            _suit(draft, each.policy, scene, account)
    loads = deliver(draft, pairs, scene)
    pod, seconds = place(draft.built, pairs, loads, scene)
    if pod is not sent:
        pod = _signed(pod, matched, seconds, scene)
    return Folded(pod, accounts, seconds, frozenset([load.model.mount_path for load in loads if load.model.redirect]))


def _signed(pod: Object, matched: Sequence[Matched], seconds: float, scene: Scene) -> Object:
    """The pod with the annotation that says who changed it; written once, and left out where there is no room."""
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    if names.ANNOTATION_DECISION in annotations:
        return pod
    who = ",".join([each.policy.name for each in matched])[:_MAX_TOLD]
    told = f"policies={who} seconds={int(seconds)} inventory={scene.facts.inventory.id or 'none'}"
    # By their labels nobody could tell our terms for zones from the author's own.
    zones = node_affinity.zones_gained(scene.sent, pod)
    if zones:
        told += f" zones={','.join(f'{label}:{zone}' for label, zone in zones)}"
    annotations = {**annotations, names.ANNOTATION_DECISION: told}
    if merge.annotation_bytes(annotations) > merge.MAX_ANNOTATION_BYTES:
        return pod
    return {**pod, "metadata": {**metadata, "annotations": annotations}}


def _furnish(draft: Draft, made: Recipe, scene: Scene, account: Account) -> None:
    policy = made.policy
    targets = scene.asked(policy.accelerators)
    for rule in policy.volumes:
        volumes.add(draft, rule, rule.containers or targets, scene.site.level, account)
    if made.environment:
        s3_client.set_environment(draft, made.environment, targets, account)
    if made.config and not policy.auto_profiles:
        s3_client.set_config(draft, made.config, targets, account)


def _suit(draft: Draft, policy: Policy, scene: Scene, account: Account) -> None:
    named = [profile.aws_config for profile in policy.profiles]
    tune(draft, scene.asked(policy.accelerators), _network(policy, scene), named, account)


def _network(policy: Policy, scene: Scene) -> Network:
    """The network that the pod can count on. An inventory that cannot be trusted says nothing of it."""
    facts = scene.facts
    able = scene.candidates(policy.accelerators).able if facts.placement_usable else 0
    return network_of(scene.sent, able, facts.inventory.labels)
