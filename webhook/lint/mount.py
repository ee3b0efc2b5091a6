"""The mounts of a policy as lint looks at them."""

from __future__ import annotations

from typing import NamedTuple

from webhook.policy.model import Policy


class Mount(NamedTuple):
    """One mount of one policy: the field that says where, and `what` is mounted, for people. No containers: all."""

    place: str
    path: str
    containers: frozenset[str]
    read_only: bool
    what: str

    def shares(self, other: Mount) -> bool:
        """Whether one container may get both."""
        return not self.containers or not other.containers or not self.containers.isdisjoint(other.containers)

    def holds(self, path: str) -> bool:
        """Whether a path lies below this mount."""
        return path.startswith(f"{self.path}/")


def mounts_of(policy: Policy) -> list[Mount]:
    """The mounts of a policy's models and volumes."""
    found = [
        Mount(
            f"spec.models[{index}].mountPath",
            each.mount_path,
            frozenset(each.containers),
            read_only=True,
            what=f"model {each.name}",
        )
        for index, each in enumerate(policy.models)
    ]
    found += [
        Mount(
            f"spec.volumes[{index}].mountPath",
            each.mount_path,
            frozenset(each.containers),
            read_only=each.read_only,
            what=f"volume {each.volume['name']}",
        )
        for index, each in enumerate(policy.volumes)
    ]
    return found
