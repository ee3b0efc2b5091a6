"""A pod in the making: the edits are collected, and the pod is built of them once.

What goes in is never edited. What comes out shares with it all that did not change, and is that very object when nothing
did. The pod must be sound (`merge.is_sound`).
"""

from __future__ import annotations

from collections.abc import Container

from webhook.kube import Object
from webhook.mutate import merge


class Room:
    """One container in the making. What its author wrote stays, and is looked up by name and by path."""

    __slots__ = ("_env", "_fields", "_mounts", "_new_env", "_new_mounts", "_sent", "name")

    def __init__(self, container: Object) -> None:
        self.name: str = container["name"]
        self._sent = container
        self._env: dict[str, Object] | None = None
        self._mounts: dict[str, Object] | None = None
        self._new_env: list[Object] = []
        self._new_mounts: list[Object] = []
        self._fields: Object = {}

    @property
    def env(self) -> dict[str, Object]:
        """Its variables by name; of two of one name the later, as the kubelet sees it. Do not edit."""
        if self._env is None:
            self._env = {entry["name"]: entry for entry in merge.items(self._sent, "env")}
        return self._env

    @property
    def mounts(self) -> dict[str, Object]:
        """What it mounts, by path without a slash at the end; of two at one path the first. Do not edit."""
        if self._mounts is None:
            self._mounts = {}
            for mount in merge.items(self._sent, "volumeMounts"):
                self._mounts.setdefault(mount["mountPath"].rstrip("/"), mount)
        return self._mounts

    def list(self, field: str) -> list[object]:
        """A list of plain values, such as its arguments."""
        return self._fields[field] if field in self._fields else merge.items(self._sent, field)

    def add_env(self, entries: list[Object]) -> int:
        """Add those variables that it does not set itself, after its own; give back how many."""
        known = self.env
        new = [entry for entry in entries if entry["name"] not in known]
        for entry in new:
            known[entry["name"]] = entry
        self._new_env += new
        return len(new)

    def add_mount(self, mount: Object) -> None:
        """Add the mount, unless it mounts something at that path."""
        path = mount["mountPath"].rstrip("/")
        if path not in self.mounts:
            self.mounts[path] = mount
            self._new_mounts.append(mount)

    def put(self, field: str, values: list[object]) -> None:
        """Set a list of plain values."""
        self._fields[field] = values

    def put_env(self, values: dict[str, str]) -> None:
        """Set the literal values of variables that it has."""
        env = [*merge.items(self._sent, "env"), *self._new_env]
        self._fields["env"] = [
            {**entry, "value": values[entry["name"]]} if entry["name"] in values and "value" in entry else entry
            for entry in env
        ]
        self._new_env = []
        self._env = None

    def built(self) -> Object:
        """The container as it stands."""
        if not (self._new_env or self._new_mounts or self._fields):
            return self._sent
        container = {**self._sent, **self._fields}
        if self._new_env:
            container["env"] = [*merge.items(container, "env"), *self._new_env]
        if self._new_mounts:
            container["volumeMounts"] = [*merge.items(container, "volumeMounts"), *self._new_mounts]
        return container
