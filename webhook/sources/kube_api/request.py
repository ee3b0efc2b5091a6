"""A request to the Kubernetes API, within what RBAC has to allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import quote

from webhook.inventory.objects import Resource
from webhook.sources.kube_api.permissions import CALLS, COLLECTIONS, group


class Sendable(Protocol):
    """What the transport reads of a request, whatever it is about."""

    @property
    def what(self) -> str:
        """What it is for, to follow after "cannot"."""
        ...

    @property
    def method(self) -> str:
        """HTTP's method."""
        ...

    @property
    def path(self) -> str:
        """The URL's path."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """The URL's parameters."""
        ...

    @property
    def body(self) -> Any:
        """What is sent as JSON; None for nothing."""
        ...

    @property
    def content_type(self) -> str:
        """Of the body."""
        ...

    @property
    def accept(self) -> str:
        """Of the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `name` is that of one object, "" for the whole collection. ValueError when it is none of `CALLS`."""

    verb: Literal["list", "watch", "patch"]
    resource: Resource
    query: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"

    def __post_init__(self) -> None:
        call = (group(self.resource), self.resource, self.verb)
        if call not in CALLS:
            raise ValueError(f"{call} is not among the calls that RBAC allows us (permissions.CALLS)")

    @property
    def what(self) -> str:
        """What it is for, to follow after "cannot"."""
        return f"{self.verb} {self.resource}" + (f"/{self.name}" if self.name else "")

    @property
    def method(self) -> str:
        """HTTP's method."""
        return "PATCH" if self.verb == "patch" else "GET"

    @property
    def path(self) -> str:
        """The URL's path."""
        return COLLECTIONS[self.resource] + (f"/{quote(self.name, safe='')}" if self.name else "")


@dataclass(frozen=True, slots=True)
class Get:
    """A plain GET of a path. `what` is what it is for, to follow after "cannot"."""

    what: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    method: str = "GET"
    body: Any = None
    content_type: str = "application/json"
