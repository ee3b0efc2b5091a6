"""The client settings of a policy set as lint looks at them: each where it is written, and what goes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from webhook.policy.model import ClientProfile, Origin, Policy, PolicySet


class Written(NamedTuple):
    """One environment variable in one document. `policies` are those that hand it to pods."""

    origin: Origin
    name: str
    value: str
    policies: tuple[Policy, ...]
    name_path: str
    value_path: str

    @property
    def on_key(self) -> bool:
        """Whether the name stands as a key of a mapping."""
        return self.name_path == self.value_path


class Context(NamedTuple):
    """What reaches a container together: a policy with its profiles, or a profile that no policy uses."""

    policy: Policy | None
    profiles: tuple[ClientProfile, ...]
    env: Mapping[str, str]
    aws_config: Mapping[str, Any]


def written(policy_set: PolicySet) -> Iterator[Written]:
    """Every variable of every policy and profile, each once."""
    for policy in policy_set.policies:
        for index, (name, value) in enumerate(policy.env):
            path = f"spec.env[{index}]"
            yield Written(policy.origin, name, value, (policy,), f"{path}.name", f"{path}.value")
    for profile in policy_set.profiles:
        users = users_of(profile, policy_set)
        for name, value in profile.env.items():
            path = f"spec.env.{name}"
            yield Written(profile.origin, name, value, users, path, path)


def users_of(profile: ClientProfile, policy_set: PolicySet) -> tuple[Policy, ...]:
    """The policies that name a profile."""
    return tuple(policy for policy in policy_set.policies if any(each.name == profile.name for each in policy.profiles))


def contexts_of(profile: ClientProfile, policy_set: PolicySet) -> list[Context]:
    """In what company a profile reaches containers; alone, where no policy uses it."""
    found = [context_of(policy) for policy in users_of(profile, policy_set)]
    return found or [_context(None, (profile,), {})]


def context_of(policy: Policy) -> Context:
    """What a policy hands to containers."""
    return _context(policy, policy.profiles, dict(policy.env))


def flat(aws_config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a configuration with their values, those of a section as `s3.direct_io`."""
    for key, value in aws_config.items():
        if isinstance(value, Mapping):
            for inner, scalar in value.items():
                yield f"{key}.{inner}", scalar
        else:
            yield key, value


def text(value: Any) -> str:
    """A value of a configuration as the file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _context(policy: Policy | None, profiles: tuple[ClientProfile, ...], env: dict[str, str]) -> Context:
    """The first of a name wins, as in `mutate.s3_client`."""
    config: dict[str, Any] = {}
    for profile in profiles:
        for name, value in profile.env.items():
            env.setdefault(name, value)
        for key, value in flat(profile.aws_config):
            config.setdefault(key, value)
    return Context(policy, profiles, env, config)
