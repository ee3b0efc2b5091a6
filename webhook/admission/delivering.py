"""Models on their way into one pod: what each matched policy brings, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.admission.scene import Matched, Scene
from webhook.cel import Activation
from webhook.kube import names
from webhook.mutate.account import Account, Part
from webhook.mutate.draft import Draft
from webhook.mutate.hydration import hydrate
from webhook.mutate.load import Load, cache_root, cache_volume, directory_of, misplaced, occupied, recover
from webhook.mutate.source import NoSource, resolve, shown
from webhook.policy.model import Model


def deliver(draft: Draft, matched: Sequence[tuple[Matched, Account]], scene: Scene) -> list[Load]:
    """Bring the models of all matched policies into the pod, in one init container; those that found their place."""
    loads: list[Load] = []
    for each, account in matched:
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
    return [] if why else loads


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
