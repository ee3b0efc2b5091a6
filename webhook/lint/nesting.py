"""Mounts within mounts. A runtime makes a mount's directory in the mount around it, but not in a read-only one.

Within one policy that is certain; between two policies, and with mounts of a pod's own, it takes a pod that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.admission.changes import changes
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.clash import meet
from webhook.lint.mount import Mount, mounts_of
from webhook.lint.trial import trials
from webhook.lint.witness import Pair, pairs
from webhook.policy.model import Mode, Origin, PolicySet

CODES: Codes = {
    "W051": ("warning", "a mount below another one that is read-only"),
}

_CONSEQUENCE = "which is read-only: the container does not start unless that holds a directory of the name"
_HINT = "mount them beside each other"
_MOST_SEARCHES = 64  # in one run, as for clashes


def _within(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        mounts = mounts_of(policy)
        for inner in mounts:
            outer = _around(inner, mounts)
            if outer is not None:
                message = f"{inner.path} lies in {outer.what} at {outer.path}, {_CONSEQUENCE}"
                yield policy.origin, Finding("W051", inner.place, message, _HINT)


def _between(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    acting = [each for each in policy_set.policies if each.mode is not Mode.OFF]
    mounts = [mounts_of(each) for each in acting]
    pair_of = pairs(acting)
    by_path: dict[str, list[tuple[int, Mount]]] = {}
    for index, each in enumerate(mounts):
        for mount in each:
            by_path.setdefault(mount.path, []).append((index, mount))
    left = _MOST_SEARCHES
    for inside, each in enumerate(mounts):
        for inner in each:
            for around, outer in _holders(inner, by_path):
                if (
                    around == inside
                    or _around(inner, mounts[around]) != outer
                    or not meet(acting[inside], acting[around])
                ):
                    continue
                pair = pair_of(min(inside, around), max(inside, around)) if left > 0 else None
                left -= 1
                where = _shown(pair, inner, outer, manifests) if pair is not None else ""
                if where:
                    what = f"{outer.what} of policy {acting[around].name} at {outer.path}"
                    message = f"{inner.path} lies in {what}, {_CONSEQUENCE}: for example {where}"
                    yield acting[inside].origin, Finding("W051", inner.place, message, _HINT)


def _holders(inner: Mount, by_path: dict[str, list[tuple[int, Mount]]]) -> Iterator[tuple[int, Mount]]:
    """The mounts at directories above this one, each with the place of its policy."""
    parent = inner.path.rpartition("/")[0]
    while parent:
        yield from by_path.get(parent, ())
        parent = parent.rpartition("/")[0]


def _shown(pair: Pair, inner: Mount, outer: Mount, manifests: Manifests) -> str:
    """A pod in which one container gets both, in words; empty where none is found."""

    def gets_both(sent: Object, decided: Object) -> bool:
        given = changes(sent, decided).mounts
        return any((container, outer.path) in given for container, path in given if path == inner.path)

    return pair.shown(gets_both, manifests)


def _around(inner: Mount, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that this one would be made in, where that is read-only. The nearest one around is what counts."""
    around = [each for each in mounts if each.holds(inner.path) and each.shares(inner)]
    nearest = max(around, key=lambda each: len(each.path), default=None)
    return nearest if nearest is not None and nearest.read_only else None


def _in_pods(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    """A volume of the pod's own, mounted below what we mount read-only."""
    told: set[tuple[str, str]] = set()
    for trial in trials([policy for policy in policy_set.policies if mounts_of(policy)], manifests):
        ours = {each.path: each for each in mounts_of(trial.policy) if each.read_only}
        own = {str(each.get("name")): _paths(each) for each in pods.app_containers(trial.manifest.pod)}
        for container, path in changes(trial.manifest.pod, trial.decision.pod).mounts:
            mount = ours.get(path)
            inner = next((each for each in own.get(container, ()) if mount is not None and mount.holds(each)), "")
            if mount is None or not inner or (trial.policy.name, path) in told:
                continue
            told.add((trial.policy.name, path))
            message = f"container {container} of {trial.manifest.source} mounts its own at {inner}, in {mount.what} at "
            yield trial.policy.origin, Finding("W051", mount.place, f"{message}{path}, {_CONSEQUENCE}", _HINT)


def _paths(container: Object) -> list[str]:
    return [str(mount.get("mountPath")) for mount in pods.objects(container.get("volumeMounts"))]


CHECKS: tuple[Check, ...] = (_within, _between, _in_pods)
