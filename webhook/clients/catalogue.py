"""The catalogue of S3 clients: which variables and configuration keys they read, and which nobody reads.

The data is `catalogue.json` beside this module; every row names the public file and version it was read in.
`docs/s3-clients.md` shows it to people. What programs a container runs is `programs.clients_of`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from webhook.clients.value_type import ValueType

_MOST_TITLES = 4

Status = Literal["read", "dead", "none"]
"""Read by somebody; read by earlier versions only; never read, though people set it."""

Names = Literal["open", "closed", "none"]


@dataclass(frozen=True, slots=True)
class Client:
    """A program or library. `built_on` are clients in it whose variables it heeds too; `version` the one looked at."""

    id: str
    title: str
    about: str
    version: str
    built_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    `gone` is since when a dead one is not read; `instead` names what does what it promises; `owner` is "identity" where
    the cluster's identity webhook sets it. `clients` is empty for those that nobody reads, `type` None.
    """

    name: str
    clients: frozenset[str]
    status: Status
    type: ValueType | None
    default: str
    since: str
    gone: str
    owner: str
    instead: tuple[str, ...]
    advice: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Variables that begin alike. `names`: "open" where any may follow, "closed" where the catalogue has them all."""

    prefix: str
    clients: frozenset[str]
    names: Names
    advice: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the AWS CLI's configuration file: `region`, or `s3.direct_io` for one of the section s3.

    `transfer` says which of the AWS CLI's two S3 clients heed it.
    """

    key: str
    clients: frozenset[str]
    type: ValueType
    transfer: frozenset[str]
    default: str
    since: str
    advice: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CodeOnly:
    """What people look for as a variable, and what is set in code or by flags alone."""

    name: str
    clients: frozenset[str]
    default: str
    advice: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, by name."""

    clients: Mapping[str, Client]
    variables: Mapping[str, Variable]
    prefixes: tuple[Prefix, ...]
    settings: Mapping[str, Setting]
    code_only: tuple[CodeOnly, ...]

    def whole(self, clients: Iterable[str]) -> frozenset[str]:
        """These clients and all that they are built on."""
        found: set[str] = set()
        left = list(clients)
        while left:
            client = left.pop()
            if client not in found:
                found.add(client)
                left += self.clients[client].built_on
        return frozenset(found)

    def prefix_of(self, name: str) -> Prefix | None:
        """The longest prefix of the catalogue that a variable begins with."""
        return max(
            (each for each in self.prefixes if name.startswith(each.prefix)),
            key=lambda each: len(each.prefix),
            default=None,
        )

    def readers(self, name: str) -> frozenset[str] | None:
        """The clients that read a variable, alone or built into another one; None for one that is not known here."""
        variable = self.variables.get(name)
        if variable is not None:
            return variable.clients if variable.status == "read" else frozenset()
        prefix = self.prefix_of(name)
        return prefix.clients if prefix is not None and prefix.names == "open" else None

    def titles(self, clients: Iterable[str]) -> str:
        """These clients as people call them, in order: `AWS CLI v2, s5cmd`; of many, the first few."""
        titles = sorted((self.clients[each].title for each in clients), key=str.lower)
        more = len(titles) - _MOST_TITLES
        return ", ".join(titles[:_MOST_TITLES]) + (f" and {more} more" if more > 0 else "")


@cache
def catalogue() -> Catalogue:
    """Return the catalogue; read once. The data is part of the program, so a fault in it is a bug and raises."""
    data = json.loads(files("webhook.clients").joinpath("catalogue.json").read_text(encoding="utf-8"))
    clients = {
        row["id"]: Client(row["id"], row["title"], row.get("about", ""), row.get("version", ""), tuple(row["builtOn"]))
        for row in data["clients"]
    }
    return Catalogue(
        clients=clients,
        variables={row["name"]: _variable(row) for row in data["variables"]},
        prefixes=tuple(
            Prefix(row["prefix"], frozenset(row["clients"]), row["names"], row.get("advice", ""), tuple(row["source"]))
            for row in data["prefixes"]
        ),
        settings={row["key"]: _setting(row) for row in data["settings"]},
        code_only=tuple(
            CodeOnly(row["name"], frozenset(row["clients"]), row["default"], row["advice"], tuple(row["source"]))
            for row in data["codeOnly"]
        ),
    )


def _type(row: Mapping[str, Any]) -> ValueType:
    return ValueType(
        row["kind"], tuple(row.get("words", ())), row.get("minimum"), row.get("maximum"), row.get("longest")
    )


def _variable(row: Mapping[str, Any]) -> Variable:
    return Variable(
        name=row["name"],
        clients=frozenset(row["clients"]),
        status=row["status"],
        type=_type(row["type"]) if "type" in row else None,
        default=row.get("default", ""),
        since=row.get("since", ""),
        gone=row.get("gone", ""),
        owner=row.get("owner", ""),
        instead=tuple(row.get("instead", ())),
        advice=row.get("advice", ""),
        source=tuple(row["source"]),
    )


def _setting(row: Mapping[str, Any]) -> Setting:
    return Setting(
        key=row["key"],
        clients=frozenset(row["clients"]),
        type=_type(row["type"]),
        transfer=frozenset(row["transfer"]),
        default=row.get("default", ""),
        since=row.get("since", ""),
        advice=row.get("advice", ""),
        source=tuple(row["source"]),
    )
