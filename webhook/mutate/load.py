"""One model on its way into one pod: which volume holds it, who mounts it where, what the init container is told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from webhook.kube import Object, names
from webhook.kube.podsecurity import Level, allows_volume
from webhook.kube.quantity import parse as parse_quantity
from webhook.mutate import merge
from webhook.mutate.account import Account
from webhook.mutate.direct import Direct
from webhook.mutate.draft import Draft, Room
from webhook.mutate.source import Source
from webhook.policy.allow import allowed, canonical_source
from webhook.policy.model import Model, NodeCache, Tenancy
from webhook.policy.text import plain_size

# Volumes that die with the pod; any other kind is shared by pods, who keep to directories of their own in it.
_PRIVATE = ("emptyDir", "ephemeral")
_MAX_ARGUMENTS = 256
_MAX_ARGUMENT = 12 * 1024  # a source of 1,024 characters, globs of 2,048, each of them perhaps doubled twice
_CLUSTER = "cluster"
_NAMESPACES = "namespaces/"
_NAMESPACE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Site(NamedTuple):
    """Where a pod is being admitted: its namespace, what PodSecurity allows there, and which image hydrates."""

    namespace: str
    level: Level
    hydrator_image: str

    @property
    def is_named(self) -> bool:
        """Whether the namespace's name can be a directory's."""
        return 0 < len(self.namespace) <= 63 and _NAMESPACE_CHARACTERS.issuperset(self.namespace)


class Load(NamedTuple):
    """One resolved model. `targets` are the containers that mount it; `account` is its policy's.

    `root` is the directory of a shared cache that is this pod's to use, empty where the whole volume is the pod's;
    `directory` is the model's, below it.
    """

    policy: str
    model: Model
    source: Source
    targets: tuple[str, ...]
    volume: Object
    root: str
    directory: str
    account: Account

    @property
    def is_shared(self) -> bool:
        """Whether other pods of the node read the same cache."""
        return bool(self.root)

    @property
    def needs_root(self) -> bool:
        """Whether the cache's directory belongs to the node's root user."""
        return "hostPath" in self.volume

    @property
    def mount(self) -> Object:
        """What the app containers mount."""
        return {
            "name": self.volume["name"],
            "mountPath": self.model.mount_path,
            "subPath": f"{self.root}/{self.directory}/current" if self.root else f"{self.directory}/current",
            "readOnly": True,
        }

    def is_there(self, rooms: Sequence[Room]) -> bool:
        """Whether one of these containers mounts the cache at the model's path."""
        path = self.model.mount_path.rstrip("/")
        return any((mount := room.mounts.get(path)) and mount.get("name") == self.volume["name"] for room in rooms)

    @property
    def cache_mount(self) -> Object:
        """What the init container mounts."""
        mount: Object = {"name": self.volume["name"], "mountPath": cache_path(self.model.cache)}
        if self.root:
            mount["subPath"] = self.root
        return mount

    @property
    def argument(self) -> str:
        """What the init container is told, as JSON; `$` is doubled, for the kubelet expands `$(VAR)` in arguments."""
        most = "" if self.root else self._limit
        return _argument(self.model.told, self.directory, self.source.canonical, self.root, most)

    @property
    def _limit(self) -> str:
        """What the kubelet lets an emptyDir grow to, before it evicts the pod."""
        given = self.volume.get("emptyDir")
        limit = given.get("sizeLimit") if given else None
        return "" if limit is None else str(limit)

    @property
    def held_as(self) -> str:
        """What the inventory calls the model."""
        source = self.source.canonical
        return names.selection(source, self.directory) if self.model.files.text else source

    @property
    def source_volume(self) -> Object | None:
        """The volume a `file://` source lies in."""
        given = self.model.source_volume
        return given.volume if given is not None and self.source.canonical.startswith("file:") else None

    @property
    def volumes(self) -> list[Object]:
        """All volumes the pod needs for it."""
        extra = self.source_volume
        return [self.volume] if extra is None else [self.volume, extra]

    @property
    def init_mounts(self) -> list[Object]:
        """All the init container mounts for it."""
        given = self.model.source_volume
        if given is None or self.source_volume is None:
            return [self.cache_mount]
        return [
            self.cache_mount,
            {"name": given.volume["name"], "mountPath": given.mount_path, "readOnly": True},
        ]


def cache_path(cache: NodeCache) -> str:
    """Where the init container finds a cache."""
    return f"{names.CACHE_ROOT}/{cache.name}"


@lru_cache(maxsize=1024)
def directory_of(source: str, files: str) -> str:
    """The directory of a canonical source within any cache, by which files of it are wanted (`Files.text`)."""
    return names.directory(source, files)


@lru_cache(maxsize=1024)
def _argument(told: str, directory: str, source: str, root: str, limit: str) -> str:
    argument: Object = {**msgspec.json.decode(told), "directory": directory, "source": source}
    if root:
        # The cache outlives the pod: its report says whose the model is, everyone's if nobody's.
        argument["tenant"] = "" if root == _CLUSTER else root.removeprefix(_NAMESPACES)
    most = argument.get("maxSize")
    if limit and (most is None or parse_quantity(limit) < parse_quantity(most)):
        argument["maxSize"] = plain_size(limit)
    text = msgspec.json.encode(dict(sorted(argument.items()))).decode()
    return f"--model={text}".replace("$", "$$")


def cache_volume(cache: NodeCache, level: Level, existing: Object | None, *, is_right: bool) -> Object | None:
    """The cache's volume, or its fallback where PodSecurity forbids that; None where it forbids both.

    `is_right` is whether the volume is a local disk on every node the pod may land on; where it is not, the fallback
    goes first. `existing` is the pod's volume of the cache's name: what an earlier review chose stays, whatever became
    of the nodes in between.
    """
    volumes = [
        {"name": names.cache_volume(cache.name), **source}
        for source in (cache.volume, cache.fallback_volume)
        if source is not None
    ]
    there = existing is not None and [volume for volume in volumes if merge.covers(existing, volume)]
    if not is_right:
        volumes.reverse()
    return next((volume for volume in [*(there or ()), *volumes] if allows_volume(volume, level)), None)


def cache_root(cache: NodeCache, volume: Object, namespace: str) -> str:
    """The directory of a shared cache that is this pod's to use; empty where the whole volume is the pod's."""
    if any(kind in volume for kind in _PRIVATE):
        return ""
    return _CLUSTER if cache.tenancy is Tenancy.CLUSTER else f"{_NAMESPACES}{namespace}"


def occupied(load: Load | Direct, draft: Draft) -> str:
    """What of the pod's own has this model's place; empty when it is free."""
    for volume in load.volumes:
        if not draft.fits(volume):
            return f"the pod has another volume {volume['name']}"
    path, mount = load.model.mount_path.rstrip("/"), load.mount
    for room in draft.chosen(load.targets):
        existing = room.mounts.get(path)
        if existing is not None and not (merge.covers(existing, mount) and _is_same_part(existing, mount)):
            return f"{room.name} mounts its own at {load.model.mount_path}"
    return ""


def _is_same_part(existing: Object, mount: Object) -> bool:
    """Whether both mount the same part of a volume; who mounts all of it does not name one."""
    return all(existing.get(field) == mount.get(field) for field in ("subPath", "subPathExpr"))


def misplaced(load: Load, site: Site) -> str:
    """Why this model's source cannot be reached here; empty when it can."""
    if load.source.canonical.startswith("file:"):
        extra, given = load.source_volume, load.model.source_volume
        if extra is None or given is None or not given.mount_path:
            return "a file:// source needs a sourceVolume with a mountPath"
        if not allows_volume(extra, site.level):
            return f"PodSecurity level {site.level} of the namespace forbids volume {extra['name']}"
        if not load.source.canonical.startswith(f"file://{given.mount_path.rstrip('/')}/"):
            return f"{load.source.canonical} does not lie under {given.mount_path}"
    return ""


def recover(model: Model, draft: Draft, rooms: Sequence[Room], site: Site, *, by_name: bool) -> Source | None:
    """The source that an earlier review of this pod gave the model, when what named it now names the mounted path.

    It is taken only where the policy allows it and the target containers mount just that source's directory. `by_name`:
    and where the init container was told the model's own name, not that of another one of the same source.
    """
    existing = draft.rooms.get(names.INIT_CONTAINER)
    if existing is None or existing.built.get("image") != site.hydrator_image:
        return None
    mounts = [room.mounts.get(model.mount_path.rstrip("/")) for room in rooms]
    for argument in existing.values("args")[:_MAX_ARGUMENTS]:
        source = _source_of(argument, model, by_name=by_name)
        if source is None or not allowed(source, model.allow):
            continue
        end = f"{directory_of(source, model.files.text)}/current"
        if mounts and all(mount is not None and str(mount.get("subPath")).endswith(end) for mount in mounts):
            return Source(source, source)
    return None


def _source_of(argument: object, model: Model, *, by_name: bool) -> str | None:
    if not isinstance(argument, str) or len(argument) > _MAX_ARGUMENT or not argument.startswith("--model="):
        return None
    try:
        told = msgspec.json.decode(argument.removeprefix("--model=").replace("$$", "$"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("cache") != cache_path(model.cache):
        return None
    if by_name and told.get("name") != model.name:
        return None
    source = told.get("source")
    if not isinstance(source, str):
        return None
    return source if canonical_source(source) == source else None
