"""Two policies that may meet on one pod and want different things of it. Name order decides; lint says so beforehand.

Only what is certain to keep policies apart is taken as keeping them apart: accelerators without overlap, labels that
contradict. What CEL conditions rule out is not known here, so a clash is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from webhook.kube.selector import LabelSelector
from webhook.policy.model import Mode, Policy


def clashes(policies: Sequence[Policy]) -> Iterator[tuple[Policy, tuple[str, str, str, str]]]:
    """Yield the policy that loses (the later by name) with code, path, message and hint, for each clash."""
    acting = [policy for policy in policies if policy.mode is not Mode.OFF]
    for first, second in combinations(acting, 2):
        mounts, env = _mounts(first), _env(first)
        contested = [
            (path, place) for path, place, _ in _mounts(second) if any(path == theirs for theirs, _, _ in mounts)
        ]
        differing = [
            (name, place) for name, (value, place) in _env(second).items() if env.get(name, (value, ""))[0] != value
        ]
        if not (contested or differing) or not meet(first, second):
            continue
        for path, place, containers in _mounts(second):
            for theirs, _, others in mounts:
                if theirs == path and (not containers or not others or containers & others):
                    message = f'"{path}" is mounted by policy {first.name} too, which wins on pods that both match'
                    yield second, ("W003", place, message, "mount elsewhere, or keep the two apart by their match")
                    break
        for name, place in differing:
            message = f"{name} is set to another value by policy {first.name}, which wins on pods that both match"
            yield second, ("W004", place, message, "agree on one value, or keep the two apart by their match")


def meet(a: Policy, b: Policy) -> bool:
    """Tell whether one pod could match both, as far as accelerators and labels say."""
    if a.accelerator_patterns and b.accelerator_patterns:
        pairs = ((x, y) for x in a.accelerator_patterns for y in b.accelerator_patterns)
        if not any(_overlap(x, y) for x, y in pairs):
            return False
    return _compatible(a.object_selector, b.object_selector) and _compatible(a.namespace_selector, b.namespace_selector)


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


def _compatible(a: LabelSelector | None, b: LabelSelector | None) -> bool:
    if a is None or b is None:
        return True
    wanted = dict(a.equal)
    return all(wanted.get(key, value) == value for key, value in b.equal)


def _mounts(policy: Policy) -> list[tuple[str, str, set[str]]]:
    models: Iterable[tuple[str, str, set[str]]] = (
        (model.mount_path, f"spec.models[{index}].mountPath", set(model.containers))
        for index, model in enumerate(policy.models)
    )
    volumes = (
        (volume.mount_path, f"spec.volumes[{index}].mountPath", set(volume.containers))
        for index, volume in enumerate(policy.volumes)
    )
    return [*models, *volumes]


def _env(policy: Policy) -> Mapping[str, tuple[str, str]]:
    """Every variable the policy sets, with its value and where it stands; its own win over its profiles'."""
    found: dict[str, tuple[str, str]] = {}
    for index, (name, value) in enumerate(policy.env):
        found[name] = value, f"spec.env[{index}].value"
    for index, profile in enumerate(policy.profiles):
        for name, value in profile.env.items():
            found.setdefault(name, (value, f"spec.clientProfiles[{index}]"))
    return found
