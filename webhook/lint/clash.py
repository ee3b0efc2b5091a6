"""Two policies that may meet on one pod and want different things of it. Lint says beforehand which of them wins.

Name order decides, but for a volume and a model at one path: volumes are mounted before models are brought.

Only what is certain to keep policies apart is taken as keeping them apart: accelerators without overlap, and demands
that contradict. A pod on which they do clash is told with the finding; where none is found, the finding says that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.witness import Contest, pairs
from webhook.policy.model import Delivery, Mode, Model, Origin, Policy, PolicySet

CODES: Codes = {
    "W003": ("warning", "two policies mount different things at one path, or by one volume name"),
    "W004": ("warning", "two policies set one variable to different values"),
}

_MOST_SEARCHES = 64  # in one run: a set in which everything clashes needs no pod for each

_Value = tuple[str, str]  # of a variable, and where it stands


@dataclass(frozen=True, slots=True)
class _Mount:
    """What a policy mounts where. `what` tells whether two are the same thing; `volume` is its name, if it has one."""

    place: str
    path: str
    containers: frozenset[str]
    what: Any
    volume: str = ""

    def shares(self, other: _Mount) -> bool:
        """Whether one container may get both."""
        return not self.containers or not other.containers or not self.containers.isdisjoint(other.containers)


class _Claim(NamedTuple):
    """What one of two policies wants and may not get. `hint` says what to do about it; `first`: the first one loses."""

    first: bool
    contest: Contest
    code: str
    path: str
    message: str
    hint: str


def clashes(policies: Sequence[Policy], manifests: Manifests = ()) -> Iterator[tuple[Policy, Finding]]:
    """Yield the policy that loses and what it loses, for each clash."""
    acting = [policy for policy in policies if policy.mode is not Mode.OFF]
    wants = [(_mounts(policy), _env(policy)) for policy in acting]
    pair_of = pairs(acting)
    left = _MOST_SEARCHES
    labels = [dict(policy.object_selector.equal) if policy.object_selector else {} for policy in acting]
    for (one, first), (other, second) in combinations(enumerate(acting), 2):
        if labels[one] and labels[other] and _apart(labels[one], labels[other]):
            continue  # what keeps most policies of a large set apart, and is seen at once
        (mounts, env), (their_mounts, their_env) = wants[one], wants[other]
        found = [*_contested(mounts, their_mounts), *_differing(env, their_env)]
        pair = pair_of(one, other) if found and meet(first, second) else None
        if pair is None:
            continue
        for claim in found:
            winner, loser = (second, first) if claim.first else (first, second)
            where = pair.witness(claim.contest, loser, manifests) if left > 0 else ""
            left -= 1
            told = f"for example {where}" if where else "no such pod was found, but none is ruled out"
            message = f"{claim.message} policy {winner.name}, which wins on pods that both match: {told}"
            yield loser, Finding(claim.code, claim.path, message, claim.hint)


def _apart(labels: Mapping[str, str], others: Mapping[str, str]) -> bool:
    for key, value in labels.items():  # noqa: SIM110  a plain loop is faster, and this runs for every pair
        if others.get(key, value) != value:
            return True
    return False


def _contested(mounts: Sequence[_Mount], others: Sequence[_Mount]) -> Iterator[_Claim]:
    hint = "mount elsewhere, or keep the two apart by their match"
    for other in others:
        rivals = [mount for mount in mounts if other.path == mount.path and other.what != mount.what]
        rival = next((mount for mount in rivals if other.shares(mount)), None)
        if rival is not None:
            first = bool(other.volume) and not rival.volume
            place = rival.place if first else other.place
            message = f'"{other.path}" is mounted by'
            yield _Claim(first, Contest("path", other.path), "W003", f"{place}.mountPath", message, hint)
        elif other.volume and any(other.volume == mount.volume and other.what != mount.what for mount in mounts):
            message = f'volume "{other.volume}" is another one in'
            contest, path = Contest("volume", other.volume), f"{other.place}.volume.name"
            yield _Claim(False, contest, "W003", path, message, "rename one, or make them the same")


def _differing(env: Mapping[str, _Value], others: Mapping[str, _Value]) -> Iterator[_Claim]:
    for name, (value, place) in others.items():
        if name in env and env[name][0] != value:
            message = f"{name} is set to another value by"
            hint = "agree on one value, or keep the two apart by their match"
            yield _Claim(False, Contest("variable", name), "W004", place, message, hint)


def meet(a: Policy, b: Policy) -> bool:
    """Tell whether one accelerator could make a pod match both."""
    if not a.accelerator_patterns or not b.accelerator_patterns:
        return True
    return any(_overlap(x, y) for x in a.accelerator_patterns for y in b.accelerator_patterns)


def _overlap(a: str, b: str) -> bool:
    """Whether two patterns could name one resource: equal up to the first `*` of either. May say yes too often."""
    stem_a, star_a, _ = a.partition("*")
    stem_b, star_b, _ = b.partition("*")
    if not star_a and not star_b:
        return a == b
    if not star_a or not star_b:
        exact, stem = (a, stem_b) if not star_a else (b, stem_a)
        return exact.startswith(stem)
    return stem_a.startswith(stem_b) or stem_b.startswith(stem_a)


def _mounts(policy: Policy) -> list[_Mount]:
    mounts = [
        _Mount(f"spec.models[{index}]", each.mount_path, frozenset(each.containers), _what(each))
        for index, each in enumerate(policy.models)
    ]
    for index, each in enumerate(policy.volumes):
        name = str(each.volume.get("name", ""))
        place, containers = f"spec.volumes[{index}]", frozenset(each.containers)
        mounts.append(_Mount(place, each.mount_path, containers, each.volume, name))
    return mounts


def _what(model: Model) -> object:
    """What lies at a model's path: where it is from, and by which way it comes."""
    mounted = model.source_volume if model.delivery is not Delivery.HYDRATE else None
    return model.source, model.cache.name, model.delivery, mounted


def _env(policy: Policy) -> Mapping[str, _Value]:
    """Every variable the policy sets; its own win over its profiles'."""
    found: dict[str, _Value] = {}
    for index, (name, value) in enumerate(policy.env):
        found[name] = value, f"spec.env[{index}].value"
    for index, profile in enumerate(policy.profiles):
        for name, value in profile.env.items():
            found.setdefault(name, (value, f"spec.clientProfiles[{index}]"))
    return found


def _clashes(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    yield from ((policy.origin, finding) for policy, finding in clashes(policy_set.policies, manifests))


CHECKS: tuple[Check, ...] = (_clashes,)
