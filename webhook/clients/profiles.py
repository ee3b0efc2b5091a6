"""The settings that suit each S3 client at each network class. The data is `profiles.json`; every row has its source.

What a client has no variable or key for stands under `outside`, with what to do instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Kind = Literal["env", "awsConfig"]

Memory = Literal["", "atMostHalf", "halfOfMost"]
"""What a value has to do with the container's memory limit: nothing; MiB, at most half of the limit; half of the limit
in bytes, where that is less than the client takes by itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of one client. `values` are by network class in Gb/s, empty where the memory limit alone decides.

    `anyone`: it can do no harm to a container whose clients are not known. `needs_disk`: right only where all that the
    container writes to is a local disk. `name` of an awsConfig row may begin with its section: `s3.direct_io`.
    """

    client: str
    kind: Kind
    name: str
    values: Mapping[int, str]
    anyone: bool
    needs_disk: bool
    memory: Memory
    why: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """What of a client no pod spec can set: `settings` is what people look for, `why` says where it is set."""

    client: str
    settings: tuple[str, ...]
    why: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profiles:
    """All of it, in the order of the data. `classes` are the network classes, ascending."""

    rows: tuple[Row, ...]
    outside: tuple[Outside, ...]
    classes: tuple[int, ...]

    def clients(self) -> tuple[str, ...]:
        """The clients that have a row, by name."""
        return tuple(sorted({row.client for row in self.rows}))


@cache
def profiles() -> Profiles:
    """Return the profiles; read once. The data is part of the program, so a fault in it is a bug and raises."""
    data = json.loads(files("webhook.clients").joinpath("profiles.json").read_text(encoding="utf-8"))
    classes = tuple(data["classes"])
    return Profiles(
        rows=tuple(
            Row(
                client=row["client"],
                kind=row["kind"],
                name=row["name"],
                values=_values(row, classes),
                anyone=row.get("anyone", False),
                needs_disk=row.get("needs") == "disk",
                memory=row.get("memory", ""),
                why=row["why"],
                source=tuple(row["source"]),
            )
            for row in data["rows"]
        ),
        outside=tuple(
            Outside(row["client"], tuple(row["settings"]), row["why"], tuple(row["source"])) for row in data["outside"]
        ),
        classes=classes,
    )


def _values(row: Mapping[str, object], classes: tuple[int, ...]) -> Mapping[int, str]:
    by_class = row.get("byClass")
    if isinstance(by_class, dict):
        return {each: by_class[str(each)] for each in classes}
    return {each: str(row["value"]) for each in classes} if "value" in row else {}
