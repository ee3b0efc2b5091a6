"""The matched policies, folded over a pod: every edit that they ask for, in name order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from webhook.admission.recipe import Recipe, recipe
from webhook.admission.scene import Scene
from webhook.cel import Activation
from webhook.inventory.candidates import Candidates
from webhook.inventory.model import Artifact, Inventory
from webhook.kube import Object, image, names
from webhook.kube import pod as pods
from webhook.mutate import merge, placement, s3_client, volumes
from webhook.mutate.account import Account, Part
from webhook.mutate.draft import Draft
from webhook.mutate.hydration import hydrate
from webhook.mutate.load import Load, cache_root, cache_volume, directory_of, misplaced, occupied, recover
from webhook.mutate.placement import Choice
from webhook.mutate.source import NoSource, resolve, shown
from webhook.policy.model import Model, Placement, Policy, Tenancy

_MAX_TOLD = 1024


class Matched(NamedTuple):
    """A policy that matched, and the values of its variables."""

    policy: Policy
    variables: dict[str, Any]


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
    loads: list[Load] = []
    for each, account in pairs:
        for model in each.policy.models:
            load = _load(draft, each, model, scene, account)
            if load is not None:
                _join(loads, load)
    why = hydrate(draft, loads, scene.site, scene.asked())
    for load in loads:
        if why:
            load.account.yield_to(f"{load.model.name}: {why}")
        else:
            told = f"hydrates {load.model.name} from {load.source.canonical} to {load.model.mount_path}"
            load.account.do(Part.HYDRATION, told)
    if why:
        loads = []
    pod, seconds = _place(draft.built, pairs, loads, scene)
    if pod is not sent:
        pod = _signed(pod, matched, seconds, scene.facts.inventory)
    return Folded(pod, accounts, seconds, frozenset([load.model.mount_path for load in loads if load.model.redirect]))


def _signed(pod: Object, matched: Sequence[Matched], seconds: float, inventory: Inventory) -> Object:
    """The pod with the annotation that says who changed it; written once, and left out where there is no room."""
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    if names.ANNOTATION_DECISION in annotations:
        return pod
    who = ",".join([each.policy.name for each in matched])[:_MAX_TOLD]
    told = f"policies={who} seconds={int(seconds)} inventory={inventory.id or 'none'}"
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
    if made.config:
        s3_client.set_config(draft, made.config, targets, account)


def _load(draft: Draft, each: Matched, model: Model, scene: Scene, account: Account) -> Load | None:
    """The model on its way into this pod, or None and the reason in the account."""

    def without(why: str) -> Load | None:
        account.leave(f"{model.name}: {why}")
        return None

    site = scene.site
    if not site.hydrator_image:
        return without("hydration is off, no hydrator image is set")
    wanted = model.containers or scene.asked(each.policy.accelerators)
    rooms = [room for room in draft.chosen(wanted) if room.name != names.INIT_CONTAINER]
    if not rooms:
        return without(f"no container is named {' or '.join(sorted(wanted))}" if wanted else "no container mounts it")
    source = resolve(model, scene.sent, (room.built for room in rooms), lambda: _bound(scene, each))
    if isinstance(source, NoSource):
        recovered = recover(model, draft, rooms, site)
        if recovered is None:
            if source.refused:
                account.warnings.append(
                    f"policy {each.policy.name}: model {model.name}: {source.reason}, the pod starts without it; "
                    f"allowed: {', '.join(model.allow)}"
                )
            return without(source.reason)
        source = recovered
    volume = cache_volume(model.cache, site.level)
    if volume is None:
        return without(f"PodSecurity level {site.level} of the namespace forbids cache {model.cache.name}")
    if not site.is_named:
        return without(f"namespace {shown(site.namespace)} is no name for a directory")
    load = Load(
        policy=each.policy.name,
        model=model,
        source=source,
        targets=tuple([room.name for room in rooms]),
        volume=volume,
        root=cache_root(model.cache, volume, site.namespace),
        directory=directory_of(source.canonical, model.files.text),
        account=account,
    )
    taken = occupied(load, draft)
    if taken:
        account.yield_to(f"{model.name}: {taken}")
        return None
    why = misplaced(load, site)
    return without(why) if why else load


def _bound(scene: Scene, each: Matched) -> Activation:
    return scene.activation.with_variables(each.variables) if each.variables else scene.activation


def _join(loads: list[Load], load: Load) -> None:
    """Add the model to those before it, unless one of them has its place."""
    for other in loads:
        why = _clash(other, load)
        if why:
            load.account.yield_to(f"{load.model.name}: policy {other.policy} {why}")
            return
    loads.append(load)


def _clash(other: Load, load: Load) -> str:
    path = load.model.mount_path
    is_same_place = other.model.mount_path.rstrip("/") == path.rstrip("/")
    if is_same_place and other.mount != load.mount and not set(other.targets).isdisjoint(load.targets):
        return f"mounts {other.model.name} at {path}"
    for theirs in other.volumes:
        if any(ours["name"] == theirs["name"] and ours != theirs for ours in load.volumes):
            return f"adds another volume {theirs['name']}"
    for theirs in other.init_mounts:
        if any(ours["mountPath"] == theirs["mountPath"] and ours != theirs for ours in load.init_mounts):
            return f"mounts another volume at {theirs['mountPath']}"
    return ""


def _place(
    pod: Object, matched: Sequence[tuple[Matched, Account]], loads: Sequence[Load], scene: Scene
) -> tuple[Object, float]:
    choices: list[Choice] = []
    obstacle = placement.obstacle(scene.sent, usable=scene.facts.placement_usable)
    for each, account in matched:
        policy = each.policy
        mine = [load for load in loads if load.account is account and load.model.placement is not Placement.OFF]
        if policy.image_placement is Placement.OFF and not mine:
            continue
        if obstacle:
            account.leave(obstacle)
            continue
        candidates = scene.candidates(policy.accelerators)
        if policy.image_placement is not Placement.OFF:
            choices += _images(policy.image_placement, candidates, scene, account)
        choices += _models(mine, candidates, scene)
    return placement.settle(pod, choices) if choices else (pod, 0.0)


def _images(wanted: Placement, candidates: Candidates, scene: Scene, account: Account) -> list[Choice]:
    settings = scene.facts.settings
    texts = [text for text in pods.images(scene.sent) if text != settings.hydrator_image]
    found = []
    for text in texts:
        what = "image" if len(texts) == 1 else f"image {shown(text)}"
        name = image.canonical(text)
        if name is None:
            account.leave(f"image {shown(text)}: not a valid reference")
            continue
        artifact = scene.facts.inventory.image(name)
        if artifact is None:
            account.leave(f"{what}: no node is known to hold it{_untracked(settings.image_min_bytes)}")
            continue
        if 0 < artifact.bytes < settings.image_min_bytes:
            account.leave(f"{what}: too small to matter, {artifact.bytes // 2**20} MiB")
            continue
        rate = settings.image_bytes_per_second
        choice = placement.weigh(artifact, wanted, candidates, rate=rate, name=name, what=what, account=account)
        if choice is not None:
            found.append(choice)
    return found


def _untracked(least: int) -> str:
    if least <= 0:
        return ""
    size = f"{least // 2**30} GiB" if least % 2**30 == 0 else f"{least / 2**20:.0f} MiB"
    return f" (images under {size} are not tracked)"


def _models(loads: Sequence[Load], candidates: Candidates, scene: Scene) -> list[Choice]:
    found = []
    for load in loads:
        name, what, account = load.source.canonical, load.model.name, load.account
        if not load.is_shared:
            account.leave(f"{what}: its cache dies with the pod, no node stays warm")
            continue
        artifact = _held(load, scene)
        if artifact is None:
            account.leave(f"{what}: no node is known to hold it")
            continue
        choice = placement.weigh(
            artifact,
            load.model.placement,
            candidates,
            rate=scene.facts.settings.model_bytes_per_second,
            name=name,
            what=what,
            account=account,
        )
        if choice is not None:
            found.append(choice)
    return found


def _held(load: Load, scene: Scene) -> Artifact | None:
    """What the inventory knows of a model. A cache of everyone's holds what everyone, or this namespace, hydrated.

    Which of the two must not depend on the candidates: our own terms narrow them, and a second review would choose
    another one.
    """
    inventory, name, namespace = scene.facts.inventory, load.held_as, scene.site.namespace
    everyones = inventory.model(name, "") if load.model.cache.tenancy is Tenancy.CLUSTER else None
    return everyones if everyones is not None and everyones.labelled else inventory.model(name, namespace) or everyones
