"""Models on their way into one pod: what each matched policy brings, which way it takes, what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from webhook.admission import nodes
from webhook.admission.choosing import choose
from webhook.admission.scene import Matched, Scene
from webhook.cel import Activation
from webhook.kube import Object, names
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import allows_volume
from webhook.mutate import direct
from webhook.mutate.account import Account, Part
from webhook.mutate.direct import Direct
from webhook.mutate.draft import Draft, Room
from webhook.mutate.hydration import hydrate
from webhook.mutate.load import Load, Site, cache_root, cache_volume, directory_of, misplaced, occupied, recover
from webhook.mutate.source import NoSource, Source, resolve, shown
from webhook.policy.allow import OCI
from webhook.policy.model import NO_CACHE, Delivery, Model

_NO_HYDRATOR = "hydration is off, no hydrator image is set"


class _Wanted(NamedTuple):
    """A model with its source and the containers that shall mount it."""

    policy: str
    accelerators: Accelerators | None
    model: Model
    source: Source
    targets: tuple[str, ...]
    account: Account


class _Refusal(NamedTuple):
    """Why a model cannot go a way. `yields`: somebody else has its place."""

    why: str
    yields: bool = False

    def tell(self, account: Account, name: str) -> None:
        """Note it."""
        (account.yield_to if self.yields else account.leave)(f"{name}: {self.why}")


def deliver(draft: Draft, matched: Sequence[tuple[Matched, Account]], scene: Scene) -> list[Load | Direct]:
    """Bring the models of all matched policies into the pod; those that found their place.

    Those that are hydrated share one init container; the others are mounted as they lie.
    """
    found: list[Load | Direct] = []
    models = [model for each, _ in matched for model in each.policy.models]
    for each, account in matched:
        for model in each.policy.models:
            wanted = _wanted(draft, each, model, scene, account, models=models)
            if wanted is not None:
                _join(found, _way(draft, wanted, scene))
    loads = [way for way in found if isinstance(way, Load)]
    why = hydrate(draft, loads, scene.site, scene.asked())
    if why:
        found = _without_hydration(found, why, draft, scene)
    for way in found:
        if isinstance(way, Load):
            told = f"hydrates {way.model.name} from {way.source.canonical} to {way.model.mount_path}"
            way.account.do(Part.HYDRATION, told)
        else:
            way.account.do(Part.VOLUMES, way.told)
    direct.attach(draft, [way for way in found if isinstance(way, Direct)])
    return found


def _without_hydration(found: Sequence[Load | Direct], why: str, draft: Draft, scene: Scene) -> list[Load | Direct]:
    """What is left when the pod can have no init container of ours."""
    left: list[Load | Direct] = []
    for way in found:
        if isinstance(way, Direct):
            _join(left, way)
            continue
        _Refusal(why, yields=True).tell(way.account, way.model.name)
        if way.model.delivery is Delivery.AUTO:
            wanted = _Wanted(way.policy, None, way.model, way.source, way.targets, way.account)
            mounted = _mounted(draft, wanted, scene)
            if isinstance(mounted, Direct):
                _join(left, mounted)
    return left


def _wanted(
    draft: Draft, each: Matched, model: Model, scene: Scene, account: Account, *, models: Sequence[Model]
) -> _Wanted | None:
    """The model, one of those of all matched policies, with its source; or None and the reason in the account."""

    def without(why: str) -> _Wanted | None:
        account.leave(f"{model.name}: {why}")
        return None

    site, policy = scene.site, each.policy
    if not site.hydrator_image and _is_always_hydrated(model):
        return without(_NO_HYDRATOR)
    chosen = model.containers or scene.asked(policy.accelerators)
    rooms = [room for room in draft.chosen(chosen) if room.name != names.INIT_CONTAINER]
    if not rooms:
        return without(f"no container is named {' or '.join(sorted(chosen))}" if chosen else "no container mounts it")
    source = resolve(model, scene.sent, (room.built for room in rooms), lambda: _bound(scene, each))
    if isinstance(source, NoSource):
        recovered = _recovered(draft, model, rooms, site, models=models, refused=source.refused)
        if recovered is None:
            # Who names a path that is mounted does not go without it: a redirect says so, or the author.
            if source.refused is not None and not any(source.refused.rstrip("/") in room.mounts for room in rooms):
                account.warnings.append(
                    f"policy {policy.name}: model {model.name}: {source.reason}, the pod starts without it; "
                    f"allowed: {', '.join(model.allow)}"
                )
            return without(source.reason)
        source = recovered
    return _Wanted(policy.name, policy.accelerators, model, source, tuple([room.name for room in rooms]), account)


def _recovered(
    draft: Draft, model: Model, rooms: Sequence[Room], site: Site, *, models: Sequence[Model], refused: str | None
) -> Source | None:
    """The source that an earlier review found, where what named it now names the path that a redirect put there."""
    kind = model.source.kind
    # A redirect writes into arguments and variables, and nowhere else. What an expression reads may be these.
    if kind not in {"arg", "env", "expression"}:
        return None
    if kind != "expression" and not any(one.redirect and one.mount_path == refused for one in models):
        return None
    # Models of one source share an argument, which bears the name of the first. At a path that two policies have, it
    # could be the other one's.
    path = model.mount_path.rstrip("/")
    is_alone = [one.mount_path.rstrip("/") for one in models].count(path) == 1
    if kind == "expression" and not is_alone:
        return None
    return recover(model, draft, rooms, site, by_name=not is_alone) or direct.recover_direct(model, draft, rooms)


def _is_always_hydrated(model: Model) -> bool:
    return model.delivery is Delivery.HYDRATE and not any(pattern.startswith(OCI) for pattern in model.allow)


def _way(draft: Draft, wanted: _Wanted, scene: Scene) -> Load | Direct | None:
    """The way the model takes, or None and the reason in the account."""
    model, account = wanted.model, wanted.account
    found: Load | Direct | _Refusal
    if wanted.source.canonical.startswith(OCI):
        found = _image(draft, wanted, scene)
    elif model.delivery is Delivery.HYDRATE:
        found = _hydrated(draft, wanted, scene)
    elif model.delivery is Delivery.MOUNT:
        found = _mounted(draft, wanted, scene)
    else:
        found = _sooner(draft, wanted, scene)
    if isinstance(found, _Refusal):
        found.tell(account, model.name)
        return None
    if isinstance(found, Load):
        _tell_of_strangers(wanted, found.volume, scene)
    return found


def _sooner(draft: Draft, wanted: _Wanted, scene: Scene) -> Load | Direct | _Refusal:
    """What the pod has already; else the only way of the two that is open, or the one that is ready sooner."""
    mounted, hydrated = _mounted(draft, wanted, scene), _hydrated(draft, wanted, scene)
    model, account, rooms = wanted.model, wanted.account, draft.chosen(wanted.targets)
    if isinstance(mounted, Direct) and direct.is_mounted(model, wanted.source, draft, rooms):
        return mounted
    if isinstance(hydrated, Load) and hydrated.is_there(rooms):
        return hydrated
    if isinstance(hydrated, _Refusal):
        if not isinstance(mounted, _Refusal):
            account.leave(f"{model.name}: not hydrated, {hydrated.why}")
        return mounted
    if isinstance(mounted, _Refusal):
        account.leave(f"{model.name}: not mounted, {mounted.why}")
        return hydrated
    compared = choose(hydrated, rooms[0].built, scene, wanted.accelerators)
    is_hydrated = compared.choice == "hydrate"
    account.do(Part.HYDRATION if is_hydrated else Part.VOLUMES, f"{model.name}: {compared.why}")
    return hydrated if is_hydrated else mounted


def _image(draft: Draft, wanted: _Wanted, scene: Scene) -> Direct | _Refusal:
    volume = direct.image_volume(wanted.model, wanted.source, draft)
    if not allows_volume(volume, scene.site.level):
        return _Refusal(f"PodSecurity level {scene.site.level} of the namespace forbids image volumes")
    if draft.volumes.get(volume["name"]) is not volume:
        able = nodes.lasting(scene, wanted.accelerators).able
        why = nodes.without_image_volumes(scene.facts.settings.image_volumes, scene, able)
        if why:
            return _Refusal(why)
    return _direct(draft, wanted, volume, "")


def _mounted(draft: Draft, wanted: _Wanted, scene: Scene) -> Direct | _Refusal:
    given = wanted.model.source_volume
    why = direct.unmountable(wanted.model, wanted.source, scene.site.level)
    if given is None or why:
        return _Refusal(why)
    return _direct(draft, wanted, given.volume, direct.place_in(given, wanted.source.canonical) or "")


def _direct(draft: Draft, wanted: _Wanted, volume: Object, sub_path: str) -> Direct | _Refusal:
    policy, _, model, source, targets, account = wanted
    found = Direct(policy, model, source, targets, volume, sub_path, account)
    taken = occupied(found, draft)
    return _Refusal(taken, yields=True) if taken else found


def _hydrated(draft: Draft, wanted: _Wanted, scene: Scene) -> Load | _Refusal:
    policy, _, model, source, targets, account = wanted
    site = scene.site
    if model.cache is NO_CACHE:
        return _Refusal("its policy names no cache to hydrate it into")
    if not site.hydrator_image:
        return _Refusal(_NO_HYDRATOR)
    volume = _cache(draft, wanted, scene)
    if volume is None:
        return _Refusal(f"PodSecurity level {site.level} of the namespace forbids cache {model.cache.name}")
    if not site.is_named:
        return _Refusal(f"namespace {shown(site.namespace)} is no name for a directory")
    load = Load(
        policy=policy,
        model=model,
        source=source,
        targets=targets,
        volume=volume,
        root=cache_root(model.cache, volume, site.namespace),
        directory=directory_of(source.canonical, model.files.text),
        account=account,
    )
    taken = occupied(load, draft)
    if taken:
        return _Refusal(taken, yields=True)
    why = misplaced(load, site)
    return _Refusal(why) if why else load


def _cache(draft: Draft, wanted: _Wanted, scene: Scene) -> Object | None:
    """The volume of the model's cache that is a local disk on all nodes the pod may land on, as far as there is one."""
    cache = wanted.model.cache
    existing = draft.volumes.get(names.cache_volume(cache.name))
    return cache_volume(cache, scene.site.level, existing, is_right=not _strangers(wanted, scene))


def _strangers(wanted: _Wanted, scene: Scene) -> str:
    """Nodes the pod may land on where the cache's volume is no local disk; empty where none is known."""
    cache, systems = wanted.model.cache, scene.facts.inventory.systems
    if not cache.systems or not systems or not scene.facts.placement_usable:
        return ""
    return nodes.strangers(cache, nodes.lasting(scene, wanted.accelerators).able, systems)


def _tell_of_strangers(wanted: _Wanted, volume: Object, scene: Scene) -> None:
    """Say which volume it became where the cache's own is not right everywhere; the author hears of a wrong one."""
    cache, account, others = wanted.model.cache, wanted.account, _strangers(wanted, scene)
    if not others:
        return
    told = f"{wanted.model.name}: cache {cache.name} is no local disk everywhere, {others}"
    if next(iter(cache.volume)) in volume:
        told = f"{told}, and it has no fallbackVolume that could be used"
        account.warnings.append(f"policy {wanted.policy}: model {told}")
        account.leave(told)
    else:
        account.leave(f"{told}: its fallbackVolume is used")


def _bound(scene: Scene, each: Matched) -> Activation:
    return scene.activation.with_variables(each.variables) if each.variables else scene.activation


def _join(ways: list[Load | Direct], way: Load | Direct | None) -> None:
    """Add the model to those before it, unless one of them has its place."""
    if way is None:
        return
    for other in ways:
        why = _clash(other, way)
        if why:
            way.account.yield_to(f"{way.model.name}: policy {other.policy} {why}")
            return
    ways.append(way)


def _clash(other: Load | Direct, way: Load | Direct) -> str:
    path = way.model.mount_path
    is_same_place = other.model.mount_path.rstrip("/") == path.rstrip("/")
    if is_same_place and other.mount != way.mount and not set(other.targets).isdisjoint(way.targets):
        return f"mounts {other.model.name} at {path}"
    for theirs in other.volumes:
        if any(ours["name"] == theirs["name"] and ours != theirs for ours in way.volumes):
            return f"adds another volume {theirs['name']}"
    for theirs in other.init_mounts:
        if any(ours["mountPath"] == theirs["mountPath"] and ours != theirs for ours in way.init_mounts):
            return f"mounts another volume at {theirs['mountPath']}"
    return ""
