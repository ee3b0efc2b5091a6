"""Environment variables that do not do what they say: nobody reads them, the value is no value, or they are another's.

What clients read is in the catalogue (`webhook.clients`). A name that it does not have is the program's own business,
unless it is a near miss of one that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from webhook.admission.changes import changes
from webhook.clients.catalogue import Variable, catalogue
from webhook.clients.programs import clients_of
from webhook.kube import pod as pods
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.setting import Context, Written, context_of, contexts_of, written
from webhook.lint.trial import trials
from webhook.policy.model import Origin, PolicySet

CODES: Codes = {
    "W035": ("warning", "an environment variable that no S3 client reads"),
    "W036": ("warning", "an environment variable that S3 clients have ceased to read"),
    "W037": ("warning", "an environment variable that the containers' client does not read"),
    "W038": ("warning", "a value that the variable's reader does not take"),
    "W039": ("warning", "an environment variable that belongs to the cluster's identity webhook"),
    "W040": ("info", "a region for only half of the S3 clients"),
}

_REGIONS = {"AWS_REGION": "AWS_DEFAULT_REGION", "AWS_DEFAULT_REGION": "AWS_REGION"}
_SHORT = 12  # characters of a name; in a shorter one, two that differ are no slip of the finger


def _names(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    known = catalogue()
    for each in written(policy_set):
        variable = known.variables.get(each.name)
        if variable is None:
            finding = _unknown(each)
            if finding is not None:
                yield each.origin, finding
        elif variable.status == "none":
            message = f"no client reads {each.name}"
            yield each.origin, Finding("W035", each.name_path, message, _remedy(variable), on_key=each.on_key)
        elif variable.status == "dead":
            message = f"{each.name} is not read any more since {variable.gone}"
            yield each.origin, Finding("W036", each.name_path, message, _remedy(variable), on_key=each.on_key)
        else:
            yield from ((each.origin, finding) for finding in _read(each, variable))


def _unknown(each: Written) -> Finding | None:
    prefix = catalogue().prefix_of(each.name)
    if prefix is not None and prefix.names == "open":
        return None
    near = _near(each.name)
    if near:
        message = f"no client that the catalogue knows reads {each.name}"
        return Finding("W035", each.name_path, message, f'did you mean "{near}"?', on_key=each.on_key)
    if prefix is None:
        return None
    if prefix.names == "none":
        message = f"no client reads {each.name}"
    else:
        message = f"{catalogue().titles(prefix.clients)} reads no {each.name}"
    return Finding("W035", each.name_path, message, prefix.advice or "remove it", on_key=each.on_key)


def _remedy(variable: Variable) -> str:
    use = f"use {' or '.join(variable.instead)}" if variable.instead else "remove it"
    return f"{use}: {variable.advice}" if variable.advice else use


def _read(each: Written, variable: Variable) -> Iterator[Finding]:
    if variable.owner:
        message = f"{each.name} is set by the cluster's identity webhook, which takes a value of ours for the author's"
        yield Finding(
            "W039", each.name_path, message, "remove it, and give the service account a role", None, each.on_key
        )
    fault = variable.type.fault(each.value) if variable.type is not None and "$(" not in each.value else ""
    if fault:
        hint = f"it is read by {catalogue().titles(variable.clients)}"
        if each.value.strip().lower() in {"1", "yes", "on"} and variable.type and "true" in variable.type.words:
            hint = f'write "true": {hint}'
        yield Finding("W038", each.value_path, f'{each.name}: "{each.value[:64]}" {fault}', hint)


@lru_cache(maxsize=1024)
def _near(name: str) -> str:
    """The variable of the catalogue that a name is a slip of the finger away from, empty where there is none."""
    most = 1 if len(name) < _SHORT else 2
    if len(name) <= 6:
        return ""
    found = [
        (_distance(name, other, most), other)
        for other, variable in catalogue().variables.items()
        if variable.status == "read" and abs(len(other) - len(name)) <= most
    ]
    best = min(found, default=(most + 1, ""))
    return best[1] if best[0] <= most else ""


def _distance(a: str, b: str, most: int) -> int:
    """How many characters to change, add or remove, or neighbours to swap, to make `b` of `a`; `most + 1` if more."""
    a = a.upper()
    b = b.upper()
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, right in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _unread(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    """Variables that reach containers of these pods, all of known clients, and that none of those reads."""
    known = catalogue()
    candidates = [each for each in written(policy_set) if known.readers(each.name)]
    users = {policy.name: policy for each in candidates for policy in each.policies}
    reached: dict[tuple[str, str], list[tuple[frozenset[str] | None, str]]] = {}
    for trial in trials([policy for policy in policy_set.policies if policy.name in users], manifests):
        containers = {each.get("name"): each for _, _, each in pods.every_container(trial.manifest.pod)}
        for container, name in changes(trial.manifest.pod, trial.decision.pod).env:
            where = f"container {container} of {trial.manifest.source}"
            clients = clients_of(containers.get(container, {}))
            reached.setdefault((trial.policy.name, name), []).append((clients, where))
    for each in candidates:
        readers = known.readers(each.name) or frozenset()
        seen = [reached.get((policy.name, each.name), []) for policy in each.policies]
        if not seen or not all(seen):
            continue  # a policy without a pod here: who its pods are is not known
        targets = [target for found in seen for target in found]
        if all(clients is not None and clients.isdisjoint(readers) for clients, _ in targets):
            message = f"{each.name} is read by {known.titles(readers)}, which is not what {targets[0][1]} runs"
            hint = "remove it, or set it where that client runs"
            yield each.origin, Finding("W037", each.name_path, message, hint, on_key=each.on_key)


def _regions(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    contexts: list[Context] = [context_of(policy) for policy in policy_set.policies]
    contexts += [
        context for profile in policy_set.profiles for context in contexts_of(profile, policy_set) if not context.policy
    ]
    for each in written(policy_set):
        other = _REGIONS.get(each.name)
        company = [context for context in contexts if _holds(context, each)] if other else []
        if company and not any(other in context.env for context in company):
            who = (
                "botocore and boto3"
                if each.name == "AWS_REGION"
                else "the SDKs for JavaScript and Rust, and Mountpoint,"
            )
            message = f"{who} do not read {each.name}"
            yield each.origin, Finding("W040", each.name_path, message, f"set {other}, too", on_key=each.on_key)


def _holds(context: Context, each: Written) -> bool:
    documents = [profile.origin for profile in context.profiles] + ([context.policy.origin] if context.policy else [])
    return any(origin is each.origin for origin in documents)


CHECKS: tuple[Check, ...] = (_names, _unread, _regions)
