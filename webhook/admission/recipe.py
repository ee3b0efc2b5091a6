"""What every review needs of the policies and no review changes: made once for each policy, and each set of them."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.cel import Reads, together
from webhook.kube import Object
from webhook.mutate import s3_client
from webhook.policy.model import Policy, PolicySet

_MOST_KEPT = 2048
_MOST_SETS = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """The environment and the AWS CLI configuration a policy sets."""

    policy: Policy
    environment: list[Object]
    config: str


# By identity: policies live as long as their set, and one in here cannot pass its id on.
_kept: dict[int, Recipe] = {}
_reads: dict[int, tuple[PolicySet, Reads]] = {}


def recipe(policy: Policy) -> Recipe:
    """The recipe of a policy. The same policy object gives the same recipe."""
    found = _kept.get(id(policy))
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[id(policy)] = Recipe(
            policy,
            s3_client.environment(policy),
            s3_client.config_text([profile.aws_config for profile in policy.profiles]),
        )
    return found


def reads_of(policies: PolicySet) -> Reads:
    """What the expressions of all these policies read, by the name of the variable."""
    found = _reads.get(id(policies))
    if found is None:
        if len(_reads) >= _MOST_SETS:
            _reads.clear()
        found = _reads[id(policies)] = (policies, together(map(_reads_of, policies.policies)))
    return found[1]


def _reads_of(policy: Policy) -> Reads:
    sources = [model.source.expression for model in policy.models if model.source.expression is not None]
    conditions, variables = ([each.expression for each in some] for some in (policy.conditions, policy.variables))
    return together([each.reads for each in (*conditions, *variables, *sources)])
