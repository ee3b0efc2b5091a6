"""`clientProfiles: auto`: each container gets the S3 client settings that suit its clients, network and memory limit.

What is set already stays: by the pod's author, by the policy itself, by a profile before `auto`. Which settings a
container gets does not depend on the nodes in sight (`webhook.clients.tuning`), so a second review adds none.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import Any

from webhook.clients.catalogue import catalogue
from webhook.clients.profiles import profiles
from webhook.clients.programs import clients_of
from webhook.clients.tuning import Tuning, tuning
from webhook.kube import Object, quantity
from webhook.kube import pod as pods
from webhook.kube.quantity import InvalidQuantity
from webhook.mutate import s3_client
from webhook.mutate.account import Account, Part
from webhook.mutate.draft import Draft, Room
from webhook.mutate.instance_types import Network

# A container that writes to no other kinds of volumes than these writes to local disks: O_DIRECT works on them.
_ON_DISK = frozenset({"emptyDir", "hostPath", "ephemeral"})
_WRITTEN_BY_NOBODY = frozenset({"configMap", "secret", "downwardAPI", "projected", "image"})
# Sets of clients that images are known for; there are few.
_MOST_KEPT = 256
_NO_DISK = ("/dev/", "/run/", "/sys/", "/proc/")


def tune(
    draft: Draft,
    targets: Container[str],
    network: Network,
    named: Sequence[Mapping[str, Any]],
    account: Account,
) -> None:
    """Give each target what suits it.

    `named` are the `awsConfig` of the profiles before `auto`, the first first: theirs win key by key, for the file is
    one for the whole pod.
    """
    rooms = draft.chosen(targets)
    disk = all(_writes_to_disk(draft, room) for room in rooms)
    config: Mapping[str, Any] = {}
    readers, given = [], []
    for room in rooms:
        container = room.built
        clients = clients_of(container)
        found = tuning(clients, network.gbps, _memory(draft.sent, container), disk=disk)
        unseen = _unseen(container)
        new = _set(room, found, clients, unseen, account)
        if new:
            given.append(f"{_who(room, clients)} {', '.join(new)}")
        if found.aws_config and not "AWS_CONFIG_FILE".startswith(unseen):
            config = found.aws_config
            readers.append(room.name)
    if given:
        account.do(Part.ENV, f"auto: for {network.told}, sets on {'; on '.join(given)}")
    if config or any(named):
        everybody = targets if any(named) else readers
        text = s3_client.config_text([*named, config])
        s3_client.set_config(draft, text, everybody, account, lasting=True)


def _set(
    room: Room, found: Tuning, clients: frozenset[str] | None, unseen: tuple[str, ...], account: Account
) -> list[str]:
    """Set the variables; give back the names of those that were not there. What is left out is said."""
    before = {entry["name"] for entry in room.env}
    new = [name for name in found.env if name not in before and not name.startswith(unseen)]
    room.add_env([{"name": name, "value": found.env[name]} for name in new])
    kept = [name for name in found.env if name in before]
    hidden = [name for name in found.env if name not in before and name.startswith(unseen)]
    if hidden:
        account.leave(f"auto: {room.name} may have {', '.join(hidden)} by its envFrom, which would lose to ours")
    if kept:
        account.leave(f"auto: {room.name} has {', '.join(kept)} already")
    for note in _notes(clients) if clients is not None else ():
        account.leave(note)
    if not found.env:
        account.leave(f"auto: {_who(room, clients)}: no variable suits it")
    return new


def _unseen(container: Object) -> tuple[str, ...]:
    """How variables begin that may come from a ConfigMap or Secret as a whole; the empty string begins all."""
    found = [entry.get("prefix") or "" for entry in pods.objects(container.get("envFrom"))]
    return tuple([prefix for prefix in found if isinstance(prefix, str)])


@lru_cache(maxsize=_MOST_KEPT)
def _notes(clients: frozenset[str]) -> tuple[str, ...]:
    """What of these clients cannot be set here, and where it is."""
    roots = _roots(clients)
    return tuple(
        [
            f"auto: {catalogue().titles([each.client])}: {each.why}"
            for each in profiles().outside
            if each.client in roots
        ]
    )


def _who(room: Room, clients: frozenset[str] | None) -> str:
    if clients is None:
        return f"{room.name} (clients not known)"
    return f"{room.name} ({_titles(clients)})"


@lru_cache(maxsize=_MOST_KEPT)
def _titles(clients: frozenset[str]) -> str:
    return catalogue().titles(_roots(clients))


def _roots(clients: frozenset[str]) -> frozenset[str]:
    """Those of them that no other one is built on."""
    parts = frozenset[str]().union(*(catalogue().clients[each].built_on for each in clients))
    return clients - parts


def _memory(pod: Object, container: Object) -> int | None:
    """The bytes that a container may take: its own limit, or that of the whole pod."""
    found = []
    for resources in (container.get("resources"), pods.spec(pod).get("resources")):
        limit = pods.mapping(pods.mapping(resources).get("limits")).get("memory")
        if limit is not None:
            try:
                found.append(int(quantity.parse(limit)))
            except InvalidQuantity:
                continue
    return min(found, default=None)


def _writes_to_disk(draft: Draft, room: Room) -> bool:
    """Whether all volumes that the container may write to are local disks."""
    return all(_is_disk(draft.volumes.get(mount["name"], {})) for mount in room.mounts.values())


def _is_disk(volume: Object) -> bool:
    kinds = volume.keys() - {"name"}
    if kinds <= _WRITTEN_BY_NOBODY:
        return bool(kinds)
    path = pods.mapping(volume.get("hostPath")).get("path")
    if isinstance(path, str) and f"{path}/".startswith(_NO_DISK):
        return False
    return kinds <= _ON_DISK and not pods.mapping(volume.get("emptyDir")).get("medium")
