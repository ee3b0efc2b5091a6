"""Whether a snapshot has caught up with the API server: compared with what the API says at this moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster, Rules
from webhook.inventory.model import Inventory
from webhook.inventory.objects import TYPES, Resource
from webhook.inventory.versions import minor
from webhook.sandbox.api import Api

RULES: Final = Rules(cluster_cache_namespaces=("*",))
"""By which the sandbox's controllers judge, as long as no further flag says otherwise."""

_RESOURCES: Final[tuple[Resource, ...]] = ("nodes", "pods", "namespaces", "persistentvolumes")


class Behind(Exception):
    """The snapshot has not caught up; the text says in what."""


def caught_up(api: Api, path: Path) -> str:
    """The id of the snapshot in this file, if it says all that the API says now. Raises `Behind` with what it does not.

    A controller that has run for a while knows more than a list tells: which images and models nodes still hold though
    no list names them. So what the list tells must be in the snapshot, and nodes, namespaces and room must be equal.
    Every planned label must have been written, too: pods are placed by those. Raises OSError when the API server fails.
    """
    try:
        found = snapshot.decode(path.read_bytes())
    except (FileNotFoundError, snapshot.UnreadableSnapshot) as error:
        raise Behind(f"write a snapshot: {error}") from error
    wanted = listed(api)
    if found.id != wanted.id and (lacks := _lacks(found, wanted)):
        raise Behind(f"bring the snapshot up to date: other {lacks}")
    if late := [each.label for each in found.artifacts if each.unlabelled]:
        raise Behind(f"write all labels, such as {late[0]}")
    return found.id


def listed(api: Api) -> Inventory:
    """The inventory of what the API lists now, without a memory. Raises OSError when the API server fails."""
    cluster, now = Cluster(RULES), time.time()
    for resource in _RESOURCES:
        objects = [msgspec.json.decode(msgspec.json.encode(one), type=TYPES[resource]) for one in api.list(resource)]
        cluster.replace(resource, objects, now)
    cluster.serve(minor(str(api.call("GET", "/version").get("gitVersion"))))
    return cluster.inventory(now)


def _lacks(found: Inventory, wanted: Inventory) -> str:
    for part in ("nodes", "namespaces", "taints", "labels", "systems", "kubelets", "volumes"):
        if getattr(found, part) != getattr(wanted, part):
            return part
    # By label: where a list knows a model by that alone, the controller may remember its name.
    held = {each.label: each.mask for each in found.artifacts}
    lacking = [each.name or each.label for each in wanted.artifacts if each.mask & ~held.get(each.label, 0)]
    return f"nodes that hold {lacking[0]}" if lacking else ""
