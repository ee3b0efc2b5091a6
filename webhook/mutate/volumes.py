"""Volumes that a policy gives to containers, such as a larger /dev/shm."""

from __future__ import annotations

from collections.abc import Container

from webhook.kube import Object
from webhook.kube.podsecurity import Level, allows_volume
from webhook.mutate import merge
from webhook.mutate.account import Account, Part
from webhook.mutate.draft import Draft
from webhook.policy.model import VolumeRule


def add(draft: Draft, rule: VolumeRule, targets: Container[str], level: Level, account: Account) -> None:
    """Mount the rule's volume in the target containers; where the author mounts their own, theirs stays.

    Nothing is added that the namespace's PodSecurity level forbids.
    """
    name = rule.volume["name"]
    mount: Object = {"name": name, "mountPath": rule.mount_path}
    if rule.read_only:
        mount["readOnly"] = True
    free, own = [], []
    path = rule.mount_path.rstrip("/")
    for room in draft.chosen(targets):
        existing = room.mounts.get(path)
        if existing is None:
            free.append(room)
        elif not merge.covers(existing, mount):
            own.append(room.name)
    if own:
        account.yield_to(f"volume {name}: {', '.join(own)} mounts its own at {rule.mount_path}")
    if not free:
        return
    if not allows_volume(rule.volume, level):
        account.leave(f"volume {name}: PodSecurity level {level} of the namespace forbids it")
    elif not draft.fits(rule.volume):
        account.yield_to(f"volume {name}: the pod has another of that name")
    else:
        draft.add_volume(rule.volume)
        for room in free:
            room.add_mount(mount)
        account.do(Part.VOLUMES, f"mounts {name} at {rule.mount_path}")
