"""What every review needs of a policy and no review changes: made once for each policy."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.admission.blindness import Blindness, of_policy
from webhook.kube import Object
from webhook.mutate import s3_client
from webhook.policy.model import Policy

_MOST_KEPT = 2048


@dataclass(frozen=True, slots=True)
class Recipe:
    """The environment and the AWS CLI configuration a policy sets, and how blind its conditions are to our edits."""

    policy: Policy
    environment: list[Object]
    config: str
    blindness: Blindness


# By identity: policies live as long as their set, and one in here cannot pass its id on.
_kept: dict[int, Recipe] = {}


def recipe(policy: Policy) -> Recipe:
    """The recipe of a policy. The same policy object gives the same recipe."""
    found = _kept.get(id(policy))
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[id(policy)] = Recipe(
            policy, s3_client.environment(policy), s3_client.config_text(policy.profiles), of_policy(policy)
        )
    return found
