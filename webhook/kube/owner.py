"""Whose a pod is: the workload that people know it by, from what its controllers write into it.

The names are made by Kubernetes' own controllers: pkg/controller/deployment/sync.go (a ReplicaSet is its Deployment and
the label `pod-template-hash`), pkg/controller/cronjob (a Job is its CronJob and the minutes since the epoch).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from webhook.kube import Object
from webhook.kube import pod as pods

_TEMPLATE_HASH = "pod-template-hash"
_OF_CRON_JOB = re.compile(r"(.+)-[0-9]{8}")


class Owner(NamedTuple):
    """A workload, or the pod itself where nobody made it."""

    kind: str
    name: str


def owner_of(pod: Object, name: str = "") -> Owner:
    """The workload a pod belongs to, as far as the pod tells; `name` is what to call the pod where it says nothing.

    A pod of a Deployment says so by its ReplicaSet, one of a CronJob by its Job. What others own is called as they are.
    Bears any JSON object.
    """
    metadata = pods.metadata(pod)
    owners = pods.objects(metadata.get("ownerReferences"))
    owner = next((each for each in owners if each.get("controller") is True), None)
    if owner is not None:
        kind, made_by = owner.get("kind"), owner.get("name")
        if isinstance(kind, str) and isinstance(made_by, str) and kind and made_by:
            return _above(kind, made_by, pods.label(pod, _TEMPLATE_HASH) or "")
    for key, mark in (("name", ""), ("generateName", "*")):
        text = metadata.get(key)
        if isinstance(text, str) and text:
            return Owner("Pod", text + mark)
    return Owner("Pod", name or "(unnamed)")


def _above(kind: str, name: str, template_hash: str) -> Owner:
    if kind == "ReplicaSet" and template_hash and name.endswith(f"-{template_hash}"):
        return Owner("Deployment", name.removesuffix(f"-{template_hash}"))
    if kind == "Job" and (found := _OF_CRON_JOB.fullmatch(name)):
        return Owner("CronJob", found[1])
    return Owner(kind, name)
