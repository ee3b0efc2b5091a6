"""One model that its containers mount as it lies: from a volume that holds it, or as an image volume.

Nothing is copied. The kubelet pulls an image volume (KEP-4639) as it does images of containers; it is read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from webhook.kube import Object, names
from webhook.kube.podsecurity import Level, allows_volume
from webhook.mutate import merge
from webhook.mutate.account import Account
from webhook.mutate.draft import Draft, Room
from webhook.mutate.redirect import redirect
from webhook.mutate.source import Source
from webhook.policy.allow import OCI, allowed, canonical_source
from webhook.policy.model import Delivery, Model, SourceVolume


class Direct(NamedTuple):
    """One resolved model. `targets` are the containers that mount it; `account` is its policy's.

    `sub_path` is where in the volume it lies, empty for the whole of it.
    """

    policy: str
    model: Model
    source: Source
    targets: tuple[str, ...]
    volume: Object
    sub_path: str
    account: Account

    @property
    def reference(self) -> str:
        """The image that holds the model, as a pod names it; empty for one that lies in another kind of volume."""
        return self.source.canonical.removeprefix(OCI) if "image" in self.volume else ""

    @property
    def mount(self) -> Object:
        """What the app containers mount."""
        mount: Object = {"name": self.volume["name"], "mountPath": self.model.mount_path}
        if self.sub_path:
            mount["subPath"] = self.sub_path
        mount["readOnly"] = True
        return mount

    @property
    def volumes(self) -> list[Object]:
        """All volumes the pod needs for it."""
        return [self.volume]

    @property
    def init_mounts(self) -> list[Object]:
        """What the init container mounts for it: nothing."""
        return []

    @property
    def told(self) -> str:
        """What is done, for people."""
        what, where = self.model.name, self.model.mount_path
        if self.reference:
            return f"mounts {what} at {where} as image volume {self.reference}"
        return f"mounts {what} at {where} from volume {self.volume['name']}, {self.source.canonical} is not copied"


def image_volume(model: Model, source: Source, draft: Draft) -> Object:
    """The image volume of an `oci://` source.

    The pod's own, where it has one that differs in nothing but when it is pulled: admission plugin AlwaysPullImages
    sets that.
    """
    name, reference = names.model_volume(model.name), source.canonical.removeprefix(OCI)
    existing = draft.volumes.get(name)
    if existing is not None and merge.covers(existing, {"name": name, "image": {"reference": reference}}):
        return existing
    return {"name": name, "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}


def place_in(given: SourceVolume, source: str) -> str | None:
    """Where in the volume a canonical source lies, without slashes around; None where it does not lie in it."""
    root = _root(given)
    return source.removeprefix(root).strip("/") if source.startswith(root) else None


def _root(given: SourceVolume) -> str:
    """The source that the whole volume is."""
    return given.holds or f"file://{given.mount_path.rstrip('/')}/"


def unmountable(model: Model, source: Source, level: Level) -> str:
    """Why the model cannot be mounted from its `sourceVolume` here; empty when it can."""
    given = model.source_volume
    if given is None:
        return "its policy names no sourceVolume"
    if not allows_volume(given.volume, level):
        return f"PodSecurity level {level} of the namespace forbids volume {given.volume['name']}"
    if place_in(given, source.canonical) is None:
        return f"{source.canonical} does not lie in volume {given.volume['name']}, which shows {_root(given)}"
    return ""


def attach(draft: Draft, directs: Sequence[Direct]) -> None:
    """Mount the models in their containers, whose arguments and values then name the mounted path where asked."""
    for each in directs:
        draft.add_volume(each.volume)
        mount = each.mount
        for target in draft.chosen(each.targets):
            target.add_mount(mount)
    for each in directs:
        if each.model.redirect:
            redirect(draft, each.source, each.model.mount_path, each.targets)


def is_mounted(model: Model, source: Source, draft: Draft, rooms: Sequence[Room]) -> bool:
    """Whether a container mounts this source at the model's path, straight from the `sourceVolume` in the pod."""
    given = model.source_volume
    if given is None or not _is_there(draft, given.volume):
        return False
    sub_path = place_in(given, source.canonical)
    return sub_path is not None and any(_mounted(model, given, room) == sub_path for room in rooms)


def recover_direct(model: Model, draft: Draft, rooms: Sequence[Room]) -> Source | None:
    """The source that the target containers mount at the model's path already, where the policy allows it.

    So a second review finds it, when what named it now names the mounted path.
    """
    if not rooms:
        return None
    source = _shown_image(model, draft, rooms) or _shown_part(model, draft, rooms)
    canonical = canonical_source(source) if source else None
    return Source(canonical, canonical) if canonical is not None and allowed(canonical, model.allow) else None


def _shown_image(model: Model, draft: Draft, rooms: Sequence[Room]) -> str:
    name = names.model_volume(model.name)
    found = draft.volumes.get(name, {}).get("image")
    reference = found.get("reference") if type(found) is dict else None
    mounts = [room.mounts.get(model.mount_path.rstrip("/")) for room in rooms]
    if type(reference) is not str or not all(mount is not None and mount.get("name") == name for mount in mounts):
        return ""
    return f"{OCI}{reference}"


def _shown_part(model: Model, draft: Draft, rooms: Sequence[Room]) -> str:
    given = model.source_volume
    if model.delivery is Delivery.HYDRATE or given is None or not _is_there(draft, given.volume):
        return ""
    parts = {_mounted(model, given, room) for room in rooms}
    part = parts.pop()
    return "" if parts or part is None else f"{_root(given)}{part}"


def _mounted(model: Model, given: SourceVolume, room: Room) -> str | None:
    """Which part of the `sourceVolume` a container has at the model's path; None for another volume, or nothing."""
    mount = room.mounts.get(model.mount_path.rstrip("/"))
    if mount is None or mount.get("name") != given.volume["name"] or "subPathExpr" in mount:
        return None
    sub_path = mount.get("subPath", "")
    return sub_path if type(sub_path) is str else None


def _is_there(draft: Draft, volume: Object) -> bool:
    existing = draft.volumes.get(volume["name"])
    return existing is not None and merge.covers(existing, volume)
