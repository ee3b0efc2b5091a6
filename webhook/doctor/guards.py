"""What the controller's account may do: RBAC for what it must, the admission policy for what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.doctor.advice import APPLY
from webhook.doctor.deployment import ACCOUNT, account
from webhook.doctor.evidence import NODE_POLICY, Absent, Evidence, Failed, Right, Seen, within
from webhook.doctor.finding import Finding, failure, note, ok, unseen, warning
from webhook.kube.pod import objects

_SHOWN = 6
_DISPENSABLE = {"persistentvolumes": "pods are placed as if their volumes could be reached from every node"}
"""Rights that the controller does without, and what comes of that."""


def rights(evidence: Evidence) -> Iterator[Finding]:
    """Every call that the controller makes, as the API server's authorizers see it."""
    name = account(evidence.deployment)
    asked = evidence.rights
    unknown = next((one for one in asked.values() if not isinstance(one, Seen)), None)
    missing = [right for right, look in asked.items() if isinstance(look, Seen) and not look.value]
    who = f"service account {evidence.namespace}/{name}"
    advice = f"its Role, ClusterRole and their bindings are in manifests/base; {APPLY}"
    if needed := [right for right in missing if right.resource not in _DISPENSABLE]:
        yield failure("rights", f"{who} may not: {_listed(needed)}", advice)
    for resource, effect in _DISPENSABLE.items():
        if lacking := [right for right in missing if right.resource == resource]:
            yield warning("rights", f"{who} may not: {_listed(lacking)}; {effect}", advice)
    if missing:
        return
    if unknown is not None or not asked:
        yield unseen("rights", "the rights of the controller's account", unknown or Failed("nobody asked"))
    else:
        yield ok("rights", f"{who} may make all {len(asked)} calls that it makes")


def _listed(rights: list[Right]) -> str:
    names = sorted(map(str, rights))
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def node_policy(evidence: Evidence) -> Iterator[Finding]:
    """The ValidatingAdmissionPolicy that lets the account change nothing of nodes but our labels."""
    for what, look in (("ValidatingAdmissionPolicy", evidence.policy), ("its binding", evidence.binding)):
        if isinstance(look, Absent):
            yield warning(
                "node-policy",
                f"{what} {NODE_POLICY} is missing: nothing but RBAC limits what the controller's account may do to "
                "nodes",
                APPLY,
            )
            return
        if not isinstance(look, Seen):
            yield unseen("node-policy", f"{what} {NODE_POLICY}", look)
            return
    if isinstance(evidence.policy, Seen) and isinstance(evidence.binding, Seen):
        yield from _holds(evidence, evidence.policy.value, evidence.binding.value)


def _holds(evidence: Evidence, policy: Any, binding: Any) -> Iterator[Finding]:
    user = f"system:serviceaccount:{evidence.namespace}:{account(evidence.deployment) or ACCOUNT}"
    conditions = [str(one.get("expression")) for one in objects(within(policy, "spec", "matchConditions"))]
    actions = within(binding, "spec", "validationActions")
    if "Deny" not in (actions if isinstance(actions, list) else []):
        yield warning(
            "node-policy", f"the binding of {NODE_POLICY} does not deny, only {actions}", f"add Deny to it; {APPLY}"
        )
    elif within(binding, "spec", "policyName") != NODE_POLICY:
        yield warning("node-policy", f"the binding {NODE_POLICY} is one of another policy", APPLY)
    elif not any(user in one for one in conditions):
        yield warning(
            "node-policy",
            f"the policy {NODE_POLICY} does not speak of the account that the controller runs as, {user}",
            "name that account in its matchCondition",
        )
    else:
        yield ok("node-policy", f"the account may change nothing of nodes but Warmpod's labels ({NODE_POLICY})")
    if objects(within(policy, "status", "typeChecking", "expressionWarnings")):
        yield note("node-policy", f"the API server has warnings about the expressions of {NODE_POLICY}; see its status")
