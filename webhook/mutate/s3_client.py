"""S3 client tuning: environment variables, and the AWS CLI's configuration as a file.

The file is an annotation of the pod that a downwardAPI volume projects, so nothing is needed in the tenant's namespace.
Only the AWS CLI reads it (measured: boto3 ignores the keys that matter).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from webhook.kube import Object, names
from webhook.mutate import merge
from webhook.mutate.account import Account, Part
from webhook.policy.model import ClientProfile, Policy

# The container has an AWS configuration of its own, or asks for a profile that ours does not have.
_OWN_CONFIG = frozenset({"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"})
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


def set_environment(pod: Object, entries: list[Object], targets: Collection[str], account: Account) -> Object:
    """The pod whose target containers have the variables. What a container sets itself stays."""
    touched: list[int] = []

    def edit(container: Object) -> Object:
        after = merge.add_env(container, entries)
        if after is not container:
            touched.append(len(after["env"]) - len(merge.items(container, "env")))
        return after

    pod = merge.edit_containers(pod, targets, edit)
    if touched:
        most, count = max(touched), len(touched)
        account.do(Part.CLIENT, f"sets {most} env on {count} container{'s' if count > 1 else ''}")
    return pod


def set_config(pod: Object, text: str, targets: Collection[str], account: Account) -> Object:
    """The pod whose target containers find this AWS CLI configuration, unless they bring one of their own."""
    existing = (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_AWS_CONFIG)
    if existing is not None and existing != text:
        return account.left(pod, f"awsConfig: annotation {names.ANNOTATION_AWS_CONFIG} has other text")
    if not merge.volume_fits(pod, _VOLUME):
        return account.left(pod, f"awsConfig: the pod has another volume {names.VOLUME_AWS_CONFIG}")
    free = []
    for container in merge.each_container(pod, targets):
        own = _own(container)
        if own:
            account.leave(f"awsConfig: {container['name']} {own}")
        elif own is not None:
            free.append(container["name"])
    if not free:
        return pod
    annotated = merge.annotate(pod, names.ANNOTATION_AWS_CONFIG, text)
    if annotated is pod and existing is None:
        return account.left(pod, "awsConfig: no room left in the pod's annotations")
    account.do(Part.CLIENT, f"gives {', '.join(free)} an AWS CLI configuration")
    pod = merge.add_volume(annotated, _VOLUME)
    entry = {"name": "AWS_CONFIG_FILE", "value": names.AWS_CONFIG_FILE}
    return merge.edit_containers(pod, free, lambda c: merge.add_env(merge.add_mount(c, _MOUNT), [entry]))


def config_text(profiles: tuple[ClientProfile, ...]) -> str:
    """The configuration file of these profiles, the first of a key winning; empty when none has one."""
    merged: dict[str, Any] = {}
    for profile in profiles:
        for key, value in profile.aws_config.items():
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


def _own(container: Object) -> str | None:
    """What the container has of its own; None when it has ours already, nothing when it has none."""
    path = None
    for entry in merge.items(container, "env"):
        name = entry.get("name")
        if name in _OWN_CONFIG:
            if name != "AWS_CONFIG_FILE" or entry.get("value") != names.AWS_CONFIG_FILE:
                return f"sets {name} itself"
            path = names.AWS_CONFIG_FILE
    mount = merge.mount_at(container, names.AWS_CONFIG_DIRECTORY)
    if mount is not None and not merge.covers(mount, _MOUNT):
        return f"mounts its own at {names.AWS_CONFIG_DIRECTORY}"
    for other in merge.items(container, "volumeMounts"):
        at = other.get("mountPath")
        if type(at) is str and at.rstrip("/").endswith("/.aws"):
            return f"mounts its own at {at}"
    return None if mount is not None and path is not None else ""
