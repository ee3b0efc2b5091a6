"""Two versions of the policies, as a Git range names them: what a branch changes, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from webhook.cel import Environment
from webhook.cli.errors import CouldNotRun
from webhook.cli.world import NoPolicies, read_policies, read_policies_at
from webhook.policy.model import PolicySet

THE_FILES = "the files"


@dataclass(frozen=True, slots=True)
class Side:
    """One version of the policies, and what to call it."""

    title: str
    policies: PolicySet


def sides(text: str, policies: str, environment: Environment | None = None) -> tuple[Side, Side]:
    """The policies of `policies`, a directory or file, before and after.

    `main..HEAD` names both revisions, `main...HEAD` the place where the two parted and HEAD; one that is left out is
    HEAD. `main` alone is held against the files as they are. Raises CouldNotRun; NoPolicies when both sides have none.
    """
    dots = "..." if "..." in text else ".."
    first, is_range, second = text.partition(dots)
    if not is_range:
        before = Side(text, read_policies_at(text, policies, environment, may_be_empty=True, is_revision=True))
        after = Side(THE_FILES, _files(policies, environment))
    else:
        first, second = first or "HEAD", second or "HEAD"
        base, title = first, first
        if dots == "...":
            base = _parting(policies, first, second)
            title = f"{first} at {base[:10]}"
        before, after = (
            Side(name, read_policies_at(revision, policies, environment, may_be_empty=True, is_revision=True))
            for name, revision in ((title, base), (second, second))
        )
    if not any(side.policies.policies or side.policies.problems for side in (before, after)):
        raise NoPolicies(f"{policies}, at {before.title} as at {after.title}")
    return before, after


def _files(policies: str, environment: Environment | None) -> PolicySet:
    """The policies as they are; none where the change is that they go."""
    if not Path(policies).exists():
        return PolicySet()
    try:
        return read_policies(policies, environment)
    except NoPolicies:
        return PolicySet()


def _parting(policies: str, one: str, other: str) -> str:
    from webhook.sources.git_files import merge_base, root_of
    from webhook.sources.policy_files import UnreadablePolicies

    try:
        found = merge_base(root_of(Path(policies)), one, other)
    except UnreadablePolicies as error:
        raise CouldNotRun(str(error), hint=_fetch(error)) from error
    if not found:
        raise CouldNotRun(
            f"{one} and {other} have no commit in common here",
            hint="a shallow clone ends before they part: fetch more of it, or write two dots",
        )
    return found


def _fetch(error: Exception) -> str:
    near = getattr(error, "near", "")
    return f"did you mean {near}?" if near else "a shallow clone has few revisions: `git fetch` it first"
