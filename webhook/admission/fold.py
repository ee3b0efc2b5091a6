"""The matched policies, folded over a pod: every edit that they ask for, in name order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from webhook.admission.decision import Settings
from webhook.admission.recipe import Recipe, recipe
from webhook.cel import Activation
from webhook.inventory.model import Inventory
from webhook.kube import Object, image, names
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.mutate import merge, placement, s3_client, volumes
from webhook.mutate.account import Account, Part
from webhook.mutate.hydration import hydrate
from webhook.mutate.load import Load, Site, cache_root, cache_volume, directory_of, misplaced, recover
from webhook.mutate.placement import Candidate
from webhook.mutate.source import NoSource, resolve, shown
from webhook.policy.model import Model, Placement, Policy, Tenancy

_MAX_TOLD = 1024


class Matched(NamedTuple):
    """A policy that matched, and the values of its variables."""

    policy: Policy
    variables: dict[str, Any]


@dataclass(slots=True)
class Scene:
    """What all edits of one review share. Accelerators are looked up once for each set of patterns."""

    sent: Object
    settings: Settings
    inventory: Inventory
    is_usable: bool
    site: Site
    activation: Activation
    claims: Mapping[str, tuple[str, ...]]
    _asked: dict[int, dict[str, frozenset[str]]] = field(default_factory=dict)

    def asked(self, accelerators: Accelerators | None = None) -> dict[str, frozenset[str]]:
        """Which containers ask for which accelerators."""
        accelerators = accelerators or self.settings.accelerators
        found = self._asked.get(id(accelerators))
        if found is None:
            found = self._asked[id(accelerators)] = accelerators.of_pod(self.sent, self.claims)
        return found


class Folded(NamedTuple):
    """What came of it: the very pod that went in where nothing changed. `paths` are those that redirects may name."""

    pod: Object
    accounts: tuple[Account, ...]
    seconds: float
    paths: frozenset[str]


def fold(matched: Sequence[Matched], scene: Scene) -> Folded:
    """Every edit of the matched policies. Models of all of them share one init container, and two preferred terms."""
    pod = sent = scene.sent
    accounts = tuple(Account() for _ in matched)
    for each, account in zip(matched, accounts, strict=True):
        pod = _furnish(pod, recipe(each.policy), scene, account)
    loads: list[Load] = []
    for each, account in zip(matched, accounts, strict=True):
        for model in each.policy.models:
            load = _load(pod, each, model, scene, account)
            if load is not None:
                _join(loads, load)
    hydrated = hydrate(pod, loads, scene.site, scene.asked().keys())
    if isinstance(hydrated, str):
        for load in loads:
            load.account.leave(f"{load.model.name}: {hydrated}")
        loads = []
    else:
        pod = hydrated
    for load in loads:
        told = f"hydrates {load.model.name} from {load.source.canonical} to {load.model.mount_path}"
        load.account.do(Part.HYDRATION, told)
    pod, seconds = _place(pod, list(zip(matched, accounts, strict=True)), loads, scene)
    if pod is not sent:
        who = ",".join(each.policy.name for each in matched)[:_MAX_TOLD]
        told = f"policies={who} seconds={int(seconds)} inventory={scene.inventory.id or 'none'}"
        pod = merge.annotate(pod, names.ANNOTATION_DECISION, told)
    return Folded(pod, accounts, seconds, frozenset(load.model.mount_path for load in loads if load.model.redirect))


def _furnish(pod: Object, made: Recipe, scene: Scene, account: Account) -> Object:
    policy = made.policy
    targets = scene.asked(policy.accelerators).keys()
    for rule in policy.volumes:
        pod = volumes.add(pod, rule, frozenset(rule.containers) or targets, scene.site.level, account)
    if made.environment:
        pod = s3_client.set_environment(pod, made.environment, targets, account)
    return s3_client.set_config(pod, made.config, targets, account) if made.config else pod


def _load(pod: Object, each: Matched, model: Model, scene: Scene, account: Account) -> Load | None:
    """The model on its way into this pod, or None and the reason in the account."""

    def without(why: str) -> Load | None:
        account.leave(f"{model.name}: {why}")
        return None

    site = scene.site
    if not site.hydrator_image:
        return without("hydration is off, no hydrator image is set")
    wanted = frozenset(model.containers) or scene.asked(each.policy.accelerators).keys()
    containers = [c for c in merge.each_container(pod, wanted) if c["name"] != names.INIT_CONTAINER]
    if not containers:
        return without(f"no container is named {' or '.join(sorted(wanted))}" if wanted else "no container mounts it")
    targets = tuple(container["name"] for container in containers)
    activation = scene.activation.with_variables(each.variables) if each.variables else scene.activation
    source = resolve(model, pod, containers, activation)
    if isinstance(source, NoSource):
        recovered = recover(model, pod, targets, site)
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
    root = cache_root(model.cache, volume, site.namespace)
    load = Load(each.policy.name, model, source, targets, volume, root, directory_of(source.canonical), account)
    why = misplaced(load, pod, site)
    return without(why) if why else load


def _join(loads: list[Load], load: Load) -> None:
    """Add the model to those before it, unless one of them has its place."""
    for other in loads:
        why = _clash(other, load)
        if why:
            load.account.leave(f"{load.model.name}: policy {other.policy} {why}")
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
    candidates: list[Candidate] = []
    obstacle = placement.obstacle(scene.sent, usable=scene.is_usable)
    for each, account in matched:
        policy = each.policy
        mine = [load for load in loads if load.account is account and load.model.placement is not Placement.OFF]
        if policy.image_placement is Placement.OFF and not mine:
            continue
        if obstacle:
            account.leave(obstacle)
            continue
        resources = frozenset[str]().union(*scene.asked(policy.accelerators).values())
        if policy.image_placement is not Placement.OFF:
            candidates += _images(policy.image_placement, resources, scene, account)
        candidates += _models(mine, resources, scene)
    return placement.settle(pod, candidates) if candidates else (pod, 0.0)


def _images(wanted: Placement, resources: frozenset[str], scene: Scene, account: Account) -> list[Candidate]:
    settings = scene.settings
    texts = [text for text in pods.images(scene.sent) if text != settings.hydrator_image]
    found = []
    for text in texts:
        what = "image" if len(texts) == 1 else f"image {shown(text)}"
        name = image.canonical(text)
        if name is None:
            account.leave(f"image {shown(text)}: not a valid reference")
            continue
        artifact = scene.inventory.image(name)
        if artifact is not None and 0 < artifact.bytes < settings.image_min_bytes:
            account.leave(f"{what}: too small to matter, {artifact.bytes // 2**20} MiB")
            continue
        candidate = placement.weigh(
            artifact,
            wanted,
            scene.inventory,
            resources,
            rate=settings.image_bytes_per_second,
            what=what,
            account=account,
        )
        if candidate is not None:
            found.append(candidate)
    return found


def _models(loads: Sequence[Load], resources: frozenset[str], scene: Scene) -> list[Candidate]:
    found = []
    for load in loads:
        if not load.is_shared:
            load.account.leave(f"{load.model.name}: its cache dies with the pod, no node stays warm")
            continue
        tenant = "" if load.model.cache.tenancy is Tenancy.CLUSTER else scene.site.namespace
        candidate = placement.weigh(
            scene.inventory.model(load.source.canonical, tenant),
            load.model.placement,
            scene.inventory,
            resources,
            rate=scene.settings.model_bytes_per_second,
            what=load.model.name,
            account=load.account,
        )
        if candidate is not None:
            found.append(candidate)
    return found
