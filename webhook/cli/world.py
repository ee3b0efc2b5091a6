"""The facts of a decision, gathered from files: policies, an inventory snapshot, a namespace's labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from webhook.admission.decision import Facts, Settings
from webhook.cel import Environment
from webhook.cli.errors import CouldNotRun, say
from webhook.inventory.model import EMPTY, Inventory
from webhook.inventory.snapshot import UnreadableSnapshot, decode
from webhook.kube import names
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.policy.model import PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Problem, Source
from webhook.sources.git_files import UnknownRevision, policies_at, root_of
from webhook.sources.policy_files import UnreadablePolicies, read


class NoPolicies(CouldNotRun):
    """There is a directory, and no policy file in it."""

    def __init__(self, location: str) -> None:
        super().__init__(
            f"{location}: no policy file (*.yaml, *.yml) here",
            hint="the directory policies/ of Warmpod's repository has some to start from",
        )


def read_policies(location: str, environment: Environment | None = None) -> PolicySet:
    """The policies of a directory, or of one file, with the problems found on the way under names a person can open.

    Raises CouldNotRun when it cannot be read at all, NoPolicies when there is nothing to read.
    """
    return parse(policy_sources(location), environment)


def policy_sources(location: str) -> list[Source]:
    """The policy files of a directory, or the one file, as text; raises as `read_policies`."""
    root = Path(location)
    try:
        if root.is_file():
            sources = [Source(str(root), root.read_text(encoding="utf-8", errors="surrogateescape"))]
        else:
            sources = [replace(source, file=str(root / source.file)) for source in read(root)]
    except (UnreadablePolicies, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        prefix = "" if location in str(reason) else f"{location}: "
        raise CouldNotRun(f"{prefix}{reason}", hint="name a directory of policy files, or one of them") from error
    if not sources:
        raise NoPolicies(location)
    return sources


def read_policies_at(
    text: str,
    around: str = ".",
    environment: Environment | None = None,
    *,
    may_be_empty: bool = False,
    is_revision: bool = False,
) -> PolicySet:
    """The policies of a directory or file; where there is none of this name, those of a Git revision `REV[:PATH]`.

    The repository is the one around `around`, and PATH counts from its root, or from the working directory where it
    begins with a dot; without one it is `around` itself. Problems name their files as `REV:PATH`. With `is_revision` a
    file of that name does not count. Raises CouldNotRun; NoPolicies where there are none, unless `may_be_empty`.
    """
    if not is_revision and Path(text).exists():
        return read_policies(text, environment)
    revision, colon, inside = text.partition(":")
    try:
        root = root_of(Path(around))
        path = inside
        if not colon or inside.startswith("."):
            path = os.path.relpath(Path(inside if colon else around).resolve(), root.resolve())
        sources = policies_at(root, revision, path)
    except UnknownRevision as error:
        hint = f"did you mean {error.near}?" if error.near else "a shallow clone has few of them: `git fetch` it first"
        raise CouldNotRun(
            str(error), hint=hint if is_revision else f"there is no file {text} either; {hint}"
        ) from error
    except UnreadablePolicies as error:
        raise CouldNotRun(
            f"{text}: {error}", hint="name a directory of policy files, or a Git revision, as main or main:policies"
        ) from error
    if not sources and not may_be_empty:
        raise NoPolicies(f"{revision}:{path}")
    # A path that is a file gives a source of that name alone.
    return parse([replace(one, file=f"{revision}:{_below(path, one.file)}") for one in sources], environment)


def _below(path: str, name: str) -> str:
    if path in ("", "."):
        return name
    return path if path.rpartition("/")[2] == name else f"{path}/{name}"


def read_inventory(file: str) -> Inventory | None:
    """The snapshot in `file`; None for an empty name. Raises CouldNotRun when it is not a snapshot."""
    if not file:
        return None
    try:
        return decode(Path(file).read_bytes())
    except OSError as error:
        raise CouldNotRun(f"{file}: {error.strerror}") from error
    except UnreadableSnapshot as error:
        raise CouldNotRun(
            f"{file}: {error}", hint="--inventory takes the JSON file that the controller writes"
        ) from error


def installation(
    policies: PolicySet, hydrator_image: str, default_level: str, inventory: Inventory | None = None
) -> Facts:
    """The facts of an installation with these policies and flags. Without an inventory it places nothing.

    How old the inventory is does not matter: whoever hands one over means it. Raises ValueError for an unknown level.
    """
    settings = Settings(hydrator_image=hydrator_image, accelerators=Accelerators(), default_level=Level(default_level))
    usable = inventory is not None
    return Facts(policies=policies, settings=settings, inventory=inventory or EMPTY, placement_usable=usable)


def in_namespace(facts: Facts, namespace: str, labels: Mapping[str, str] | None) -> Facts:
    """The same facts for a pod of `namespace`; `labels` None means that nobody knows them."""
    if labels is not None:
        labels = {names.LABEL_NAMESPACE_NAME: namespace, **labels}
    return replace(facts, namespace_labels=labels)


def parse_labels(texts: tuple[str, ...]) -> dict[str, str] | None:
    """The labels in `k=v,k2=v2` texts; None when none were given. Raises CouldNotRun on anything else."""
    if not texts:
        return None
    labels: dict[str, str] = {}
    for pair in filter(None, (part.strip() for text in texts for part in text.split(","))):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CouldNotRun(f"--namespace-labels: {pair!r} is not key=value", hint="write tier=serving,team=a")
        labels[key] = value
    return labels


def report(problems: tuple[Problem, ...]) -> bool:
    """Say on stderr what is wrong with policy files; True when one of them is an error."""
    for problem in problems:
        say(problem.severity, str(problem))
    return any(problem.severity == "error" for problem in problems)
