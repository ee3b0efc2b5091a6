"""Memory that a policy hands out: S3 clients with buffers of gigabytes, volumes that lie in memory.

A client of the AWS Common Runtime sizes its buffers by the network it aims at and knows nothing of a container's limit
(aws-c-s3, s3_client.c); a volume in memory counts towards the limits of the containers that write to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.setting import Written, contexts_of, flat, text, written
from webhook.lint.trial import trials
from webhook.policy.model import Origin, PolicySet

CODES: Codes = {
    "W044": ("warning", "the Common Runtime's S3 client without a memory limit"),
    "W045": ("warning", "a client's memory limit that is above what the container may use"),
    "W046": ("info", "a volume in memory without a size"),
    "W047": ("warning", "a cache of models in memory"),
}

_CRT = {"AWS_CRT_S3_MEMORY_LIMIT_IN_GIB": 2**30, "AWS_CRT_S3_MEMORY_LIMIT_IN_MB": 2**20}
_LIMITS = {**_CRT, "RUNAI_STREAMER_MEMORY_LIMIT": 1}


def _unlimited(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for profile in policy_set.profiles:
        if dict(flat(profile.aws_config)).get("s3.preferred_transfer_client") != "crt":
            continue
        bare = [each for each in contexts_of(profile, policy_set) if _CRT.keys().isdisjoint(each.env)]
        if bare:
            where = f" in policy {bare[0].policy.name}" if bare[0].policy else ""
            least = _default_of(text(bare[0].aws_config.get("s3.target_bandwidth", "")))
            message = f"the transfer client crt takes {least} of memory{where}, whatever the container may use"
            hint = "set AWS_CRT_S3_MEMORY_LIMIT_IN_MB, at most half of the containers' memory limit"
            yield profile.origin, Finding("W044", "spec.awsConfig.s3.preferred_transfer_client", message, hint)


def _default_of(bandwidth: str) -> str:
    """What the client takes by default for a target bandwidth such as `100Gb/s`."""
    digits = bandwidth.partition("Gb/s")[0]
    if not bandwidth.endswith("Gb/s") or not digits.isdecimal():
        return "2 to 24 GiB"
    steps = ((200, 24), (100, 16), (75, 8), (25, 4))
    return f"{next((gib for least, gib in steps if int(digits) >= least), 2)} GiB"


def _too_high(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    limits: list[tuple[Written, int]] = []
    for each in written(policy_set):
        number = each.value.strip()
        if each.name in _LIMITS and number.isdecimal() and len(number) < 20:
            limits.append((each, int(number) * _LIMITS[each.name]))
    users = {policy.name: policy for each, _ in limits for policy in each.policies}
    told: set[int] = set()
    for trial in trials([policy for policy in policy_set.policies if policy.name in users], manifests):
        given = {each.get("name"): each for _, _, each in pods.every_container(trial.manifest.pod)}
        for _, _, container in pods.every_container(trial.decision.pod or {}):
            before = given.get(container.get("name"))
            most = _memory(before) if before is not None else None
            for index, (each, size) in enumerate(limits):
                if index in told or most is None or size <= most or trial.policy not in each.policies:
                    continue
                if _sets(container, each) and before is not None and not _sets(before, each):
                    told.add(index)
                    message = f"{each.name}={each.value} is above the memory limit of container {container['name']}"
                    hint = "at most half of that limit: the program needs memory too"
                    where = f"{message} of {trial.manifest.source}"
                    yield each.origin, Finding("W045", each.value_path, where, hint)


def _sets(container: Object, each: Written) -> bool:
    return any(
        entry.get("name") == each.name and entry.get("value") == each.value
        for entry in pods.objects(container.get("env"))
    )


def _memory(container: Object) -> int | None:
    """The memory limit of a container in bytes, if it has one that can be read."""
    limit = pods.mapping(pods.mapping(container.get("resources")).get("limits")).get("memory")
    try:
        return None if limit is None else int(parse_quantity(limit))
    except InvalidQuantity:
        return None


def _volumes(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for index, rule in enumerate(policy.volumes):
            if _in_memory(rule.volume) and "sizeLimit" not in rule.volume["emptyDir"]:
                message = (
                    f"volume {rule.volume['name']} may grow to all the memory that the pod may use, as its writers' own"
                )
                path = f"spec.volumes[{index}].volume.emptyDir"
                yield policy.origin, Finding("W046", path, message, "give it a sizeLimit")
    for cache in policy_set.caches:
        for field, volume in (("volume", cache.volume), ("fallbackVolume", cache.fallback_volume)):
            if volume is not None and _in_memory(volume):
                message = "models in memory count as memory of the pod's containers, and are gone with the pod"
                path = f"spec.{field}.emptyDir.medium"
                yield cache.origin, Finding("W047", path, message, "leave out medium: the files lie on the node's disk")


def _in_memory(volume: Object) -> bool:
    source = pods.mapping(volume.get("emptyDir"))
    return source.get("medium") == "Memory"


CHECKS: tuple[Check, ...] = (_unlimited, _too_high, _volumes)
