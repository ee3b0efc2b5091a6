"""The AWS CLI's configuration in ClientProfiles: keys that it does not know, values that it does not take.

The AWS CLI reads its file without a word about what it does not know, and stops at a value that it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.clients.catalogue import catalogue
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.setting import contexts_of, flat, text
from webhook.policy.finding import suggestion
from webhook.policy.model import Origin, PolicySet

CODES: Codes = {
    "W041": ("warning", "a key of awsConfig that the AWS CLI does not know"),
    "W042": ("warning", "a value of awsConfig that the AWS CLI does not take"),
    "W043": ("info", "a key of awsConfig that the chosen transfer client ignores"),
}

_PREFERRED = "s3.preferred_transfer_client"


def _keys(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for profile in policy_set.profiles:
        for key, value in flat(profile.aws_config):
            yield from ((profile.origin, finding) for finding in _key(key, value))


def _key(key: str, value: Any) -> Iterator[Finding]:
    known, path = catalogue().settings, f"spec.awsConfig.{key}"
    setting = known.get(key)
    if setting is not None:
        fault = setting.type.fault(text(value))
        if fault:
            hint = f"the default is {setting.default}" if setting.default else ""
            yield Finding("W042", path, f'{key}: "{text(value)[:64]}" {fault}', hint)
        return
    section, dot, inner = key.partition(".")
    if dot and section != "s3":
        # Any service may have a section of its own (`dynamodb`, `s3api` of the AWS CLI); only s3's is known whole.
        return
    if not dot and f"s3.{key}" in known:
        message, hint = f"{key} is a setting of the section s3, and stands outside it", f"s3: {{{key}: {text(value)}}}"
    else:
        near = [each.removeprefix("s3.") for each in known if each.startswith("s3.") == bool(dot)]
        message, hint = f"the AWS CLI knows no {key}, and ignores it", suggestion(inner or key, near)
    yield Finding("W041", path, message, hint, on_key=True)


def _ignored(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for profile in policy_set.profiles:
        chosen = {text(context.aws_config.get(_PREFERRED, "auto")) for context in contexts_of(profile, policy_set)}
        for key, _value in flat(profile.aws_config):
            setting = catalogue().settings.get(key)
            if setting is None or not key.startswith("s3."):
                continue
            path = f"spec.awsConfig.{key}"
            if setting.transfer == {"crt"} and "crt" not in chosen:
                message = f"{key} is heeded by the transfer client crt alone, which auto takes on few instance types"
                yield (
                    profile.origin,
                    Finding("W043", path, message, "set s3.preferred_transfer_client: crt", None, True),
                )
            elif key == "s3.max_bandwidth" and chosen == {"crt"}:
                message = f"{key} does not limit the transfer client crt"
                hint = "use s3.target_bandwidth, or preferred_transfer_client: classic"
                yield profile.origin, Finding("W043", path, message, hint, on_key=True)


CHECKS: tuple[Check, ...] = (_keys, _ignored)
