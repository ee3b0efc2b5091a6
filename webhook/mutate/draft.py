"""A pod in the making: the edits are collected, and the pod is built of them once.

What goes in is never edited. What comes out shares with it all that did not change, and is that very object when
nothing did. The pod must be sound (`merge.is_sound`).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from webhook.kube import Object
from webhook.mutate import merge


class Room:
    """One container in the making. What its author wrote stays, and is looked up by name and by path."""

    __slots__ = ("_fields", "_mounts", "_names", "_new_env", "_new_mounts", "_sent", "name")

    def __init__(self, container: Object) -> None:
        self.name: str = container["name"]
        self._sent = container
        self._names: set[str] | None = None
        self._mounts: dict[str, Object] | None = None
        self._new_env: list[Object] = []
        self._new_mounts: list[Object] = []
        self._fields: Object = {}

    @property
    def env(self) -> list[Object]:
        """Its variables. Do not edit."""
        env = merge.items(self._fields if "env" in self._fields else self._sent, "env")
        return [*env, *self._new_env] if self._new_env else env

    @property
    def mounts(self) -> dict[str, Object]:
        """What it mounts, by path without a slash at the end; of two at one path the first. Do not edit."""
        if self._mounts is None:
            self._mounts = {}
            for mount in merge.items(self._sent, "volumeMounts"):
                self._mounts.setdefault(mount["mountPath"].rstrip("/"), mount)
        return self._mounts

    def values(self, field: str) -> list[Any]:
        """A list of plain values, such as its arguments. Do not edit."""
        return merge.items(self._fields if field in self._fields else self._sent, field)

    def put(self, field: str, values: list[Any]) -> None:
        """Set a list of plain values, or all variables."""
        self._fields[field] = values
        if field == "env":
            self._names, self._new_env = None, []

    def add_env(self, entries: list[Object]) -> int:
        """Add those variables that it does not set itself, after its own; give back how many."""
        if self._names is None:
            self._names = {entry["name"] for entry in self.env}
        known = self._names
        new = [entry for entry in entries if entry["name"] not in known]
        if new:
            known.update([entry["name"] for entry in new])
            self._new_env += new
        return len(new)

    def outdone(self, entries: list[Object]) -> list[str]:
        """Those of the variables that it was given before with another value, by name."""
        if not self._new_env:
            return []
        given = {entry["name"]: entry for entry in self._new_env}
        return [entry["name"] for entry in entries if given.get(entry["name"], entry) != entry]

    def add_mount(self, mount: Object) -> None:
        """Add the mount, unless it mounts something at that path."""
        path = mount["mountPath"].rstrip("/")
        if path not in self.mounts:
            self.mounts[path] = mount
            self._new_mounts.append(mount)

    @property
    def is_changed(self) -> bool:
        """Whether anything was added or set."""
        return bool(self._new_env or self._new_mounts or self._fields)

    @property
    def built(self) -> Object:
        """The container as it stands."""
        if not self.is_changed:
            return self._sent
        container = {**self._sent, **self._fields}
        if self._new_env:
            container["env"] = self.env
        if self._new_mounts:
            container["volumeMounts"] = [*merge.items(container, "volumeMounts"), *self._new_mounts]
        return container


class Draft:
    """A pod in the making."""

    __slots__ = ("_annotations", "_init", "_new_volumes", "_volumes", "rooms", "sent")

    def __init__(self, pod: Object) -> None:
        self.sent = pod
        spec = pod["spec"]
        self.rooms: dict[str, Room] = {}
        for field in merge.CONTAINER_LISTS:
            for container in merge.items(spec, field):
                self.rooms[container["name"]] = Room(container)
        self._volumes: dict[str, Object] | None = None
        self._new_volumes: list[Object] = []
        self._annotations: Object | None = None
        self._init: tuple[int, Object] | None = None

    def chosen(self, names: Container[str]) -> list[Room]:
        """The app and init containers of these names, in the order of the pod."""
        return [room for name, room in self.rooms.items() if name in names]

    @property
    def volumes(self) -> dict[str, Object]:
        """The pod's volumes by name. Do not edit."""
        if self._volumes is None:
            self._volumes = {volume["name"]: volume for volume in merge.items(self.sent["spec"], "volumes")}
        return self._volumes

    def fits(self, volume: Object) -> bool:
        """Tell whether the pod has no volume of that name, or the same one."""
        existing = self.volumes.get(volume["name"])
        return existing is None or merge.covers(existing, volume)

    def add_volume(self, volume: Object) -> None:
        """Add the volume, unless the pod has one of that name."""
        if volume["name"] not in self.volumes:
            self.volumes[volume["name"]] = volume
            self._new_volumes.append(volume)

    def annotation(self, key: str) -> Any:
        """The value of an annotation."""
        found = self._annotations or self.sent["metadata"].get("annotations")
        return found.get(key) if found else None

    def annotate(self, key: str, value: str) -> bool:
        """Add the annotation; False, and none is added, where it is too large for the object."""
        together = {**(self._annotations or self.sent["metadata"].get("annotations") or {}), key: value}
        if merge.annotation_bytes(together) > merge.MAX_ANNOTATION_BYTES:
            return False
        self._annotations = together
        return True

    def insert(self, container: Object, place: int) -> None:
        """Put our init container at this place among the pod's."""
        self._init = (place, container)

    @property
    def built(self) -> Object:
        """The pod as it stands."""
        pod, spec = self.sent, self.sent["spec"]
        changed: Object = {}
        for field in merge.CONTAINER_LISTS:
            rooms = [self.rooms[container["name"]] for container in merge.items(spec, field)]
            if [room for room in rooms if room.is_changed]:
                changed[field] = [room.built for room in rooms]
        if self._init is not None:
            place, container = self._init
            entries = changed.get("initContainers") or merge.items(spec, "initContainers")
            changed["initContainers"] = [*entries[:place], container, *entries[place:]]
        if self._new_volumes:
            changed["volumes"] = [*merge.items(spec, "volumes"), *self._new_volumes]
        if changed:
            pod = {**pod, "spec": {**spec, **changed}}
        if self._annotations is not None:
            pod = {**pod, "metadata": {**pod["metadata"], "annotations": self._annotations}}
        return pod
