"""What a decision changes of a pod, in the words of the trade.

Told from the two pods alone, so it holds for a patch of any origin: one just made, one out of a record, one that
somebody else's version made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.affinity import required_terms
from webhook.mutate.node_affinity import preferred_labels, preferred_zones, required_zones

PARTS = ("placement", "hydration", "volumes", "env", "redirect", "awsConfig")
"""The parts a change can have, in the order people hear of them."""

_MODEL = "--model="
_MOST_NAMED = 3  # variables in one line


@dataclass(frozen=True, slots=True)
class Changes:
    """What one pod has that the other has not. Nothing is said of the annotation that signs a change.

    `hydrates` are the models that the init container brings; `preferred` and `required` count node affinity terms, a
    required one also where terms of the pod were narrowed; terms for zones are told by the zone instead. `volumes` are
    the policies' own that a container now mounts, those too that models lie in; `mounts` and `env` are pairs of a
    container and a path, or variable, those of models too; `redirected` are the containers whose arguments or values
    now name a mounted path. What is there for the AWS CLI's configuration counts as `aws_config` alone; what the init
    container mounts counts nowhere.
    """

    hydrates: tuple[str, ...] = ()
    preferred: int = 0
    required: int = 0
    preferred_zones: tuple[str, ...] = ()
    required_zones: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    redirected: tuple[str, ...] = ()
    aws_config: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of PARTS there are."""
        found = (
            self.preferred or self.required or self.preferred_zones or self.required_zones,
            self.hydrates,
            self.volumes,
            self.env,
            self.redirected,
            self.aws_config,
        )
        return tuple(part for part, is_there in zip(PARTS, found, strict=True) if is_there)

    @property
    def clauses(self) -> tuple[str, ...]:
        """What is done, a clause for each kind of it, always in the same order; empty where it is not done."""
        terms = (("requires", self.required), ("prefers", self.preferred))
        mounts = ", ".join(dict.fromkeys(path for _, path in self.mounts))
        return (
            *(f"{verb} warm nodes by {_count(number, 'term')}" if number else "" for verb, number in terms),
            f"requires zone {', '.join(self.required_zones)}" if self.required_zones else "",
            f"prefers zone {', '.join(self.preferred_zones)}" if self.preferred_zones else "",
            f"hydrates {', '.join(self.hydrates)}" if self.hydrates else "",
            f"mounts {mounts}" if mounts else "",
            f"sets {_some(list(dict.fromkeys(name for _, name in self.env)))}" if self.env else "",
            f"redirects {', '.join(self.redirected)} to the mounted model" if self.redirected else "",
            "gives an AWS CLI configuration" if self.aws_config else "",
        )

    @property
    def text(self) -> str:
        """All of it on one line; empty when there is nothing."""
        return "; ".join(filter(None, self.clauses))


def changes(sent: Object, after: Object | None) -> Changes:
    """What `after` has that `sent` has not; nothing for the same pod or None. Bears any JSON object."""
    if after is None or after is sent:
        return Changes()
    mounts: list[tuple[str, Object]] = []
    env: list[tuple[str, str]] = []
    redirected: list[str] = []
    before = {container.get("name"): container for _, _, container in pods.every_container(sent)}
    for _, _, container in pods.every_container(after):
        name = container.get("name")
        old = before.get(name)
        if container is old or name == names.INIT_CONTAINER or not isinstance(name, str):
            continue
        old = old or {}
        mounts += [(name, mount) for mount in _added(old, container, "volumeMounts", "mountPath")]
        env += [(name, entry["name"]) for entry in _added(old, container, "env", "name")]
        if _is_redirected(old, container):
            redirected.append(name)
    return Changes(
        hydrates=tuple(model for model in _models(after) if model not in set(_models(sent))),
        preferred=max(len(preferred_labels(after)) - len(preferred_labels(sent)), 0),
        required=_required(after) - _required(sent),
        preferred_zones=_gained(preferred_zones(sent), preferred_zones(after)),
        required_zones=_gained(required_zones(sent), required_zones(after)),
        volumes=tuple(dict.fromkeys(volume for _, mount in mounts if (volume := _volume_of(mount)))),
        mounts=tuple(
            (container, mount["mountPath"])
            for container, mount in mounts
            if mount["mountPath"] != names.AWS_CONFIG_DIRECTORY
        ),
        env=tuple(pair for pair in env if pair[1] != "AWS_CONFIG_FILE" or not _has_config(after)),
        redirected=tuple(redirected),
        aws_config=_has_config(after) and not _has_config(sent),
    )


def _gained(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The zones among the labels that are there now and were not."""
    return tuple(zone for _, zone in dict.fromkeys(each for each in after if each not in before))


def _volume_of(mount: Object) -> str:
    """The volume's name; empty for what has words of its own: caches, and the AWS CLI's configuration."""
    name = mount.get("name")
    is_ours = isinstance(name, str) and name.startswith(names.VOLUME_PREFIX)
    if is_ours and not str(name).startswith(names.VOLUME_MODEL_PREFIX):
        return ""
    return name if isinstance(name, str) else ""


def _has_config(pod: Object) -> bool:
    return pods.annotation(pod, names.ANNOTATION_AWS_CONFIG) is not None


def _added(before: Object, after: Object, field: str, key: str) -> Iterator[Object]:
    """The entries whose key, a text, `before` has none of."""
    old, new = before.get(field), after.get(field)
    if new is old:
        return
    known = {entry.get(key) for entry in pods.objects(old) if isinstance(entry.get(key), str)}
    for entry in pods.objects(new):
        if isinstance(entry.get(key), str) and entry[key] not in known:
            yield entry


def _is_redirected(before: Object, after: Object) -> bool:
    if not before:
        return False
    if any(before.get(field) != after.get(field) for field in ("args", "command")):
        return True
    values = {entry.get("name"): entry.get("value") for entry in pods.objects(before.get("env"))}
    return any(
        entry.get("name") in values and entry.get("value") != values[entry.get("name")]
        for entry in pods.objects(after.get("env"))
    )


def _models(pod: Object) -> list[str]:
    """The models of our init container, by the names that its arguments give them."""
    found = []
    for container in pods.init_containers(pod):
        if container.get("name") == names.INIT_CONTAINER:
            arguments: Any = container.get("args")
            texts = filter(lambda each: isinstance(each, str), arguments if isinstance(arguments, list) else [])
            found += [_named(text.removeprefix(_MODEL)) for text in texts if text.startswith(_MODEL)]
    return found


def _named(text: str) -> str:
    try:
        model = json.loads(text)
    except (ValueError, RecursionError):
        return "(unreadable)"
    name = model.get("name") if isinstance(model, dict) else None
    return name if isinstance(name, str) else "(unnamed)"


def _required(pod: Object) -> int:
    """How many of our labels some required term demands."""
    found: set[str] = set()
    for term in required_terms(pod):
        for requirement in _expressions(term):
            key = requirement.get("key")
            if isinstance(key, str) and key.startswith(names.NODE_LABEL_PREFIX):
                found.add(key)
    return len(found)


def _expressions(term: Object) -> Sequence[Object]:
    return pods.objects(term.get("matchExpressions"))


def _some(found: list[str]) -> str:
    shown, more = found[:_MOST_NAMED], len(found) - _MOST_NAMED
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
