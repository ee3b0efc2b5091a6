"""Volumes that a policy gives to containers, such as a larger /dev/shm."""

from __future__ import annotations

from collections.abc import Collection

from webhook.kube import Object
from webhook.kube.podsecurity import Level, allows_volume
from webhook.mutate import merge
from webhook.mutate.account import Account, Part
from webhook.policy.model import VolumeRule


def add(pod: Object, rule: VolumeRule, targets: Collection[str], level: Level, account: Account) -> Object:
    """The pod with the rule's volume mounted in the target containers; where the author mounts their own, theirs stays.

    Nothing is added that the namespace's PodSecurity level forbids.
    """
    name = rule.volume["name"]
    mount: Object = {"name": name, "mountPath": rule.mount_path}
    if rule.read_only:
        mount["readOnly"] = True
    free, own = [], []
    for container in merge.each_container(pod, targets):
        existing = merge.mount_at(container, rule.mount_path)
        if existing is None:
            free.append(container["name"])
        elif not merge.covers(existing, mount):
            own.append(container["name"])
    if own:
        account.leave(f"volume {name}: {', '.join(own)} mounts its own at {rule.mount_path}")
    if not free:
        return pod
    if not allows_volume(rule.volume, level):
        return account.left(pod, f"volume {name}: PodSecurity level {level} of the namespace forbids it")
    if not merge.volume_fits(pod, rule.volume):
        return account.left(pod, f"volume {name}: the pod has another of that name")
    account.do(Part.VOLUMES, f"mounts {name} at {rule.mount_path}")
    pod = merge.add_volume(pod, rule.volume)
    return merge.edit_containers(pod, free, lambda container: merge.add_mount(container, mount))
