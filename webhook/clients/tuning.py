"""The settings for one container: by the clients it runs, the network of its node and its memory limit.

Which settings are given never depends on the network, their values alone do: a second look at a pod that has them,
with other nodes in sight, finds nothing more to set.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from webhook.clients.profiles import Row, profiles

_MIB = 2**20
# The least that the AWS Common Runtime takes (aws-c-s3, s3_client.c).
_LEAST_MIB = 256
# The Run:ai streamer by itself takes 40 GB, and fails where one tensor is larger than its limit. The largest tensors
# of published models, embeddings of 128 thousand tokens and more, have 2 to 4 GB.
_STREAMER_DEFAULT = 40 * 10**9
_LEAST_STREAMER = 4 * 2**30


class Tuning(NamedTuple):
    """What to set: variables by name, and an AWS CLI configuration as ClientProfile's `awsConfig` holds it.

    `env` is sorted by name; `rows` are what all was taken from, each with its value.
    """

    env: Mapping[str, str]
    aws_config: Mapping[str, Any]
    rows: tuple[tuple[Row, str], ...]


def tuning(clients: frozenset[str] | None, gbps: int, memory: int | None = None, *, disk: bool = True) -> Tuning:
    """The settings of a container.

    `clients` are those that it runs with all they are built on (`Catalogue.whole`), None where that is not known;
    `gbps` a network class, one of `profiles().classes`; `memory` its limit in bytes, None where it has none; `disk`
    whether all that it writes to is a local disk.
    """
    env: dict[str, str] = {}
    config: dict[str, Any] = {}
    taken: list[tuple[Row, str]] = []
    for row in _rows(clients):
        value = _value(row, gbps, memory)
        if value is None or (row.needs_disk and not disk):
            continue
        if row.kind == "env":
            env[row.name] = value
        else:
            section, _, key = row.name.rpartition(".")
            into = config.setdefault(section, {}) if section else config
            into[key] = _plain(value)
        taken.append((row, value))
    return Tuning(env, config, tuple(taken))


@lru_cache(maxsize=256)
def _rows(clients: frozenset[str] | None) -> tuple[Row, ...]:
    """The rows for these clients, the first of each name: those of one name say the same."""
    found: dict[str, Row] = {}
    for row in profiles().rows:
        if row.anyone if clients is None else row.client in clients:
            found.setdefault(row.name, row)
    return tuple(sorted(found.values(), key=lambda row: (row.kind != "env", row.name)))


def _value(row: Row, gbps: int, memory: int | None) -> str | None:
    if row.memory == "halfOfMost":
        half = (memory or 0) // 2
        return str(half) if _LEAST_STREAMER <= half < _STREAMER_DEFAULT else None
    value = row.values[gbps]
    if row.memory == "atMostHalf" and memory is not None:
        most = memory // 2 // _MIB
        return str(min(int(value), most)) if most >= _LEAST_MIB else None
    return value


def _plain(value: str) -> str | int | bool:
    """The value as people write it in YAML: numbers and booleans without quotes."""
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.isascii() and value.isdigit() else value
