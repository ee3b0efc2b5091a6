"""What one run is asked to do, and the one spelling of a source."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal, NamedTuple

from webhook.hydrator.measures import Unreadable
from webhook.hydrator.plan import Filters

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_LONGEST = 2048
KEEP_FREE = "20%"
LEASE_SECONDS = 86400.0
EVERYTHING = Filters()


class Wanted(NamedTuple):
    """One model to bring. `tenant` None: the cache dies with the pod, and nobody else is told of it.

    `directory` is the model's own within `cache`; `name` is for people; `continues`: a failure does not stop the pod.
    """

    source: str
    cache: str
    directory: str
    name: str
    tenant: str | None = None
    filters: Filters = EVERYTHING
    keep_free: str = KEEP_FREE
    max_size: int | None = None
    trust_cache: bool = False
    lease_seconds: float = LEASE_SECONDS
    page_cache: bool = False
    continues: bool = False


class Store(NamedTuple):
    """How to reach the object store, where the environment does not say it or says it wrongly. None: it does."""

    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool | None = None
    request_payer: bool | None = None
    unsigned: bool | None = None
    ca_bundle: str | None = None
    fips: bool | None = None


class Effort(NamedTuple):
    """How hard to try: rates in bytes a second; None: as it fits."""

    io: Literal["auto", "direct", "buffered"] = "auto"
    bandwidth: float | None = None
    max_rate: float | None = None
    processes: int | None = None
    connections: int | None = None


class Request(NamedTuple):
    """One run: models to bring, one after the other, or a directory to verify. Empty texts are absent."""

    models: tuple[Wanted, ...] = ()
    verify: str = ""
    store: Store = Store()
    effort: Effort = Effort()
    termination_log: str = ""
    progress: str = "auto"


def canonical(text: str) -> str:
    """The one spelling of a source: `s3://bucket/prefix/` or `file:///path/`, with a slash at its end.

    Unreadable, where it cannot be one. Characters that policies refuse may stand in a person's source.
    """
    if not text.isprintable() or len(text) > _LONGEST:  # surrogates of bytes that are no UTF-8 do not print
        raise Unreadable(f"has characters that do not print, or more than {_LONGEST} of them")
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise Unreadable("names no bucket; write s3://BUCKET/PREFIX/")
        return f"s3://{bucket}/{key.rstrip('/')}/" if key.rstrip("/") else f"s3://{bucket}/"
    if text.startswith("file://"):
        path = text.removeprefix("file://").rstrip("/")
        if not path.startswith("/"):
            raise Unreadable("is no absolute path; write file:///PATH/")
        if {".", "..", ""} & set(path.split("/")[1:]):
            raise Unreadable("holds an empty, . or .. name; write the path without them")
        return f"file://{path}/"
    raise Unreadable("is neither s3://BUCKET/PREFIX/ nor file:///PATH/")


def shown(text: str) -> str:
    """A source that is none, for a message: without what may be a secret in a URL, its user and its query."""
    head = text.partition("?")[0]
    scheme, separator, rest = head.partition("://")
    if separator:
        head = f"{scheme}://{rest.rpartition('@')[2]}"
    return repr(head if len(head) <= 300 else f"{head[:300]}...")


def directory_of(source: str, filters: Filters = EVERYTHING) -> str:
    """The directory of a canonical source in any cache, 16 hex digits: other files of it are another model (ADR 12)."""
    told: dict[str, object] = {}
    if filters.exclude:
        told["exclude"] = sorted(set(filters.exclude))
    if filters.include:
        told["include"] = sorted(set(filters.include))
    if filters.prefer_safetensors:
        told["preferSafetensors"] = True
    text = f"{source}\n{json.dumps(told, separators=(',', ':'), ensure_ascii=False)}" if told else source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
