"""Which kinds of objects an API server serves, and which of them people mean by `deploy`, `pods` or `leaderworkerset`.

https://kubernetes.io/docs/reference/using-api/api-concepts/#aggregated-discovery: stable since Kubernetes 1.30. A word
is a plural, a singular, a kind or a short name, with its group behind a dot where two groups have it, as for kubectl.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure
from webhook.sources.kube_api.objects import Kind
from webhook.sources.kube_api.request import Get

if TYPE_CHECKING:
    from webhook.sources.kube_api.connection import KubeApi

_AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
# Where several groups have a word, those of Kubernetes itself come first, as with kubectl.
_FIRST = ("", "apps", "batch")
_SHOWN = 6


class UnknownObject(LookupError):
    """There is no such kind, or no such object. `hint` says what may have been meant."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Served:
    """A kind that the API server serves, in the version it prefers. `name` is that of the kind (`Deployment`)."""

    kind: Kind
    name: str
    words: frozenset[str]
    """What people call it, in small letters, without the group."""
    verbs: frozenset[str] = frozenset()

    @property
    def full(self) -> str:
        """The name that fits nothing else: `leaderworkersets.leaderworkerset.x-k8s.io`."""
        return f"{self.kind.resource}.{self.kind.group}" if self.kind.group else self.kind.resource

    @property
    def api_version(self) -> str:
        """As objects have it: `apps/v1`."""
        return f"{self.kind.group}/{self.kind.version}" if self.kind.group else self.kind.version


async def discover(api: KubeApi) -> list[Served]:
    """Every kind there is, in the API server's order of groups. Raises ApiFailure."""
    found: list[Served] = []
    for path in ("/api", "/apis"):
        request = Get("ask the API server which kinds it serves", path, accept=_AGGREGATED)
        body = await api.transport.call(request)
        try:
            answer = msgspec.json.decode(body)
        except UNDECODABLE as error:
            raise ApiFailure(request.what, "garbage", "the answer is no JSON") from error
        if not isinstance(answer, dict) or answer.get("kind") != "APIGroupDiscoveryList":
            raise ApiFailure(request.what, "garbage", f"{path} is not told as since Kubernetes 1.30")
        found += _read(answer)
    return found


def meant(served: Sequence[Served], word: str) -> Served:
    """The kind that a word means. Raises UnknownObject when it means none, or several."""
    given = word.lower()
    first, _, rest = given.partition(".")
    found = [one for one in served if first in one.words and _in_group(one, rest)]
    for group in _FIRST:
        chosen = [one for one in found if one.kind.group == group]
        if len(chosen) == 1:
            return chosen[0]
    if len(found) == 1:
        return found[0]
    if found:
        names = [one.full for one in found]
        raise UnknownObject(f"{word!r} is the name of {len(found)} kinds", f"write one of {_listed(names)}")
    near = difflib.get_close_matches(first, sorted({each for one in served for each in one.words}), n=1)
    kinds = [one for one in served if near and near[0] in one.words]
    if first in {each for one in served for each in one.words}:
        kinds = [one for one in served if first in one.words]
    hint = f"did you mean {_listed([one.full for one in kinds])}?" if kinds else "`kubectl api-resources` lists them"
    raise UnknownObject(f"the API server serves no kind {word!r}", hint)


def parted(text: str) -> tuple[str, str]:
    """Kind and name of `KIND/NAME`. Raises UnknownObject for anything else."""
    kind, slash, name = text.partition("/")
    if not (kind and slash and name) or "/" in name or name in (".", ".."):
        raise UnknownObject(f"{text!r} is not KIND/NAME", "write for example deploy/llama or pod/llama-0")
    return kind, name


def _in_group(one: Served, rest: str) -> bool:
    """Whether what stands behind the first dot fits: nothing, the group, or version and group."""
    return rest in ("", one.kind.group, f"{one.kind.version}.{one.kind.group}") or (
        not one.kind.group and rest == one.kind.version
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _read(answer: Mapping[str, Any]) -> Iterator[Served]:
    for group in _objects(answer.get("items")):
        metadata = group.get("metadata")
        name = _text(metadata.get("name")) if isinstance(metadata, dict) else ""
        known: set[str] = set()
        for version in _objects(group.get("versions")):  # the one that the server prefers comes first
            for one in _objects(version.get("resources")):
                plural = _text(one.get("resource"))
                if plural and plural not in known:
                    known.add(plural)
                    yield _served(name, _text(version.get("version")), plural, one)


def _served(group: str, version: str, plural: str, one: Mapping[str, Any]) -> Served:
    kind = one.get("responseKind")
    name = _text(kind.get("kind")) if isinstance(kind, dict) else ""
    words = {plural, _text(one.get("singularResource")), name, *map(_text, _list(one.get("shortNames")))}
    namespaced = one.get("scope") == "Namespaced"
    verbs = frozenset(_texts(one.get("verbs")))
    return Served(Kind(group, version, plural, namespaced), name, frozenset(w.lower() for w in words if w), verbs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> Iterable[str]:
    return (one for one in _list(value) if isinstance(one, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (one for one in _list(value) if isinstance(one, dict))
