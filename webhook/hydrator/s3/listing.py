"""Answers to ListObjectsV2. Facts: "ListObjectsV2", Amazon S3 API reference."""

from __future__ import annotations

from typing import NamedTuple

from webhook.hydrator.s3.markup import NotXml, read

MAX_PAGE = 16 << 20  # a thousand keys of 1024 bytes, percent-encoded, take some 4 MiB
_MAX_DIGITS = 18


class Listed(NamedTuple):
    """One object."""

    key: str
    size: int
    etag: str


class Page(NamedTuple):
    """One answer; `token` asks for the next page, "" when this is the last."""

    objects: list[Listed]
    token: str


def parse_page(data: bytes) -> Page:
    """Parse one. NotXml, also where XML is not a listing or names what cannot be an object."""
    top: dict[str, str] = {}
    raw: list[tuple[str, str, str]] = []
    one: dict[str, str] = {}

    def ended(parent: str, name: str, text: str) -> None:
        if parent == "Contents":
            one[name] = text
        elif parent == "ListBucketResult":
            if name == "Contents":
                raw.append((one.get("Key", ""), one.get("Size", ""), one.get("ETag", "")))
                one.clear()
            else:
                top[name] = text
        elif parent == "":
            top[""] = name

    read(data, ended)
    if top.get("") != "ListBucketResult":
        raise NotXml(f"the root element is {top.get('', '')[:40]!r}")
    # Without that mark the store ignored encoding-type, and keys are as they are.
    encoded = top.get("EncodingType") == "url"
    truncated = top.get("IsTruncated") == "true"
    token = top.get("NextContinuationToken", "") if truncated else ""
    if truncated and not token:
        raise NotXml("a truncated listing does not say how to go on")
    return Page([_listed(encoded, *fields) for fields in raw], token)


def _listed(encoded: bool, key: str, size: str, etag: str) -> Listed:
    if encoded:
        key = _decoded(key)
    if not key:
        raise NotXml("an object without a key")
    if not (size.isascii() and size.isdigit() and len(size) <= _MAX_DIGITS):
        raise NotXml(f"the size of {key[:100]!r} is {size[:40]!r}")
    return Listed(key, int(size), tag(key, etag))


def _decoded(key: str) -> str:
    """Amazon writes a blank as +, others as %20; both write + as %2B."""
    if "%" not in key and "+" not in key:
        return key
    from urllib.parse import unquote_plus  # noqa: PLC0415 - milliseconds, for uncommon names

    return unquote_plus(key, errors="surrogateescape")


def tag(key: str, etag: str) -> str:
    """An ETag with its quotes. It becomes a header, so it must not be able to end one. NotXml."""
    bare = etag.strip('"')
    if not bare or len(bare) > 200 or not bare.isascii() or not bare.isprintable() or '"' in bare or " " in bare:
        raise NotXml(f"the ETag of {key[:100]!r} is {etag[:40]!r}")
    return f'"{bare}"'
