"""Policies held against one pod, as if in Enforce: what lint says of real pods is what `admit` does to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts, Settings
from webhook.inventory.model import Inventory
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.kube.review import for_pod
from webhook.lint.check import Manifest, Manifests
from webhook.policy.model import Mode, Policy, PolicySet

SETTINGS = Settings(hydrator_image="warmpod:lint", accelerators=Accelerators(), default_level=Level.BASELINE)
"""An installation with every flag at its default. The hydrator's image is never pulled."""

_EMPTY = Inventory()


class Trial(NamedTuple):
    """One policy that matched one pod, and what it alone decides for it."""

    policy: Policy
    manifest: Manifest
    decision: Decision


def decide(policies: Sequence[Policy], manifest: Manifest, inventory: Inventory = _EMPTY) -> Decision:
    """What these policies, all of them in Enforce, decide for a pod. They must come in the order of their names."""
    enforced = tuple(replace(policy, mode=Mode.ENFORCE) for policy in policies)
    facts = Facts(
        policies=PolicySet(enforced),
        settings=SETTINGS,
        inventory=inventory,
        namespace_labels=manifest.namespace_labels,
    )
    return admit(for_pod(manifest.pod, namespace=manifest.namespace), facts)


def trials(policies: Sequence[Policy], manifests: Manifests) -> Iterator[Trial]:
    """Each of these policies with each pod that it matches. A policy that is Off is not tried."""
    acting = [policy for policy in policies if policy.mode is not Mode.OFF]
    for manifest in manifests if acting else ():
        matched = {each.name for each in decide(acting, manifest).policies if each.result == "matched"}
        for policy in acting:
            if policy.name in matched:
                yield Trial(policy, manifest, decide([policy], manifest))
