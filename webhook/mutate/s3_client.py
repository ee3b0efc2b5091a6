"""S3 client tuning: environment variables, and the AWS CLI's configuration as a file.

The file is an annotation of the pod that a downwardAPI volume projects, so nothing is needed in the tenant's namespace.
Only the AWS CLI reads it (measured: boto3 ignores the keys that matter).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from webhook.kube import Object, names
from webhook.mutate import merge
from webhook.mutate.account import Account, Part
from webhook.mutate.draft import Draft, Room
from webhook.policy.model import Policy

# The container has an AWS configuration of its own, or asks for a profile that ours does not have.
_OWN_CONFIG = frozenset({"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"})
_ENTRY: Object = {"name": "AWS_CONFIG_FILE", "value": names.AWS_CONFIG_FILE}
_MOUNT: Object = {"name": names.VOLUME_AWS_CONFIG, "mountPath": names.AWS_CONFIG_DIRECTORY, "readOnly": True}
_VOLUME: Object = {
    "name": names.VOLUME_AWS_CONFIG,
    "downwardAPI": {
        "items": [
            {
                "path": names.AWS_CONFIG_FILE.rsplit("/", 1)[1],
                "fieldRef": {"fieldPath": f"metadata.annotations['{names.ANNOTATION_AWS_CONFIG}']"},
            }
        ]
    },
}


def environment(policy: Policy) -> list[Object]:
    """The variables a policy sets: its own, then those of its profiles, the first of a name winning."""
    values: dict[str, str] = dict(policy.env)
    for profile in policy.profiles:
        for name, value in profile.env.items():
            values.setdefault(name, value)
    return [{"name": name, "value": value} for name, value in values.items()]


def set_environment(draft: Draft, entries: list[Object], targets: Container[str], account: Account) -> None:
    """Give the target containers the variables. What a container sets itself stays, and what it was given before."""
    rooms = draft.chosen(targets)
    lost = dict.fromkeys(name for room in rooms for name in room.outdone(entries))
    if lost:
        account.yield_to(f"env {', '.join(lost)}: a policy before this one sets another value")
    added = [count for count in (room.add_env(entries) for room in rooms) if count]
    if added:
        told = f"sets {max(added)} env on {len(added)} container{'s' if len(added) > 1 else ''}"
        account.do(Part.ENV, told)


def set_config(draft: Draft, text: str, targets: Container[str], account: Account, *, lasting: bool = False) -> None:
    """Let the target containers find this AWS CLI configuration, unless they bring one of their own.

    `lasting`: targets that were given one keep it, whatever it says.
    """
    if lasting and all(_own(room) is None for room in draft.chosen(targets)):
        return
    existing = draft.annotation(names.ANNOTATION_AWS_CONFIG)
    if existing is not None and existing != text:
        account.yield_to(f"awsConfig: annotation {names.ANNOTATION_AWS_CONFIG} has other text")
        return
    if not draft.fits(_VOLUME):
        account.yield_to(f"awsConfig: the pod has another volume {names.VOLUME_AWS_CONFIG}")
        return
    free = []
    for room in draft.chosen(targets):
        own = _own(room)
        if own:
            account.yield_to(f"awsConfig: {room.name} {own}")
        elif own is not None:
            free.append(room)
    if not free:
        return
    if existing is None and not draft.annotate(names.ANNOTATION_AWS_CONFIG, text):
        account.leave("awsConfig: no room left in the pod's annotations")
        return
    draft.add_volume(_VOLUME)
    for room in free:
        room.add_mount(_MOUNT)
        room.add_env([_ENTRY])
    account.do(Part.AWS_CONFIG, f"gives {', '.join([room.name for room in free])} an AWS CLI configuration")


def config_text(configs: Iterable[Mapping[str, Any]]) -> str:
    """The configuration file of these profiles' `awsConfig`, the first of a key winning; empty when all are."""
    merged: dict[str, Any] = {}
    for config in configs:
        for key, value in config.items():
            if isinstance(value, Mapping):
                section = merged.setdefault(key, {})
                if isinstance(section, dict):
                    for name, setting in value.items():
                        section.setdefault(name, setting)
            else:
                merged.setdefault(key, value)
    lines: list[str] = []
    for key, value in sorted(merged.items()):
        if isinstance(value, dict):
            lines.append(f"{key} =")
            lines += [f"  {name} = {_ini(setting)}" for name, setting in sorted(value.items())]
        else:
            lines.append(f"{key} = {_ini(value)}")
    return "\n".join(["[default]", *lines, ""]) if lines else ""


def _ini(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def _own(room: Room) -> str | None:
    """What the container has of its own; None when it has ours already, nothing when it has none."""
    is_set = False
    for entry in room.env:
        name = entry["name"]
        if name in _OWN_CONFIG:
            if name != "AWS_CONFIG_FILE" or entry.get("value") != names.AWS_CONFIG_FILE:
                return f"sets {name} itself"
            is_set = True
    for path, mount in room.mounts.items():
        if path.endswith("/.aws") or (path == names.AWS_CONFIG_DIRECTORY and not merge.covers(mount, _MOUNT)):
            return f"mounts its own at {mount['mountPath']}"
    return None if is_set and names.AWS_CONFIG_DIRECTORY in room.mounts else ""
