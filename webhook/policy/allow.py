"""Which model sources a pod's author may choose: one canonical spelling, then plain prefixes.

A source is tenant text that decides what privileged code downloads and mounts, so whatever has two readings has none: a
source is either in the one spelling below or refused. The value that was checked is the value that is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from webhook.kube import image

MAX_LENGTH = 1024  # bytes of an S3 key, and our bound for the whole

# Unreserved in URLs and harmless in shells, S3 keys and file names. No `%`, `?`, `#`, `\`, space, quote or non-ASCII.
_SEGMENT = r"[A-Za-z0-9_.=+@,~:!-]+"
_S3 = re.compile(rf"s3://([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])/((?:{_SEGMENT}/)*(?:{_SEGMENT})?)")
_FILE = re.compile(rf"file:///((?:{_SEGMENT}/)*(?:{_SEGMENT})?)")
OCI = "oci://"
_SCHEMES = ("s3://", "file:///", OCI)
# Registries of one account: what lies in them is nobody else's.
_OWN_REGISTRY = re.compile(r"[0-9]{12}\.dkr[.-]ecr[.-][a-z0-9.-]+/.*")
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_DIRECTORY_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]*--[a-z0-9-]+-az[0-9]+--x-s3")


def canonical_source(text: str) -> str | None:
    """Return the one spelling of a source; None if hostile.

    `s3://bucket/prefix/` and `file:///path/` end with a slash. Bucket names follow the Amazon S3 User Guide (general
    purpose and directory buckets); `s3://bucket` means all of it. `oci://registry/repository:tag`, or with a digest,
    names its registry, and gets the tag `latest` where it has none.
    """
    return _canonical(text) if len(text) <= MAX_LENGTH else None  # the cache must not hoard a stranger's megabytes


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str | None:
    if text.startswith(OCI):
        named = text[len(OCI) :]
        found = image.canonical(named)
        # No default but the tag: `oci://team/model` must not turn out to be Docker Hub's.
        return f"{OCI}{found}" if found is not None and found in {named, f"{named}:latest"} else None
    if text.startswith("s3://"):
        match = _S3.fullmatch(text if "/" in text[5:] else f"{text}/")
        if match is None or not _is_bucket(match[1]):
            return None
        rest, start = match[2], f"s3://{match[1]}/"
    else:
        match = _FILE.fullmatch(text)
        if match is None or not match[1]:
            return None
        rest, start = match[1], "file:///"
    path = rest.rstrip("/")
    if not path:
        return start
    if any(segment in {".", ".."} for segment in path.split("/")):
        return None
    return f"{start}{path}/"


def _is_bucket(name: str) -> bool:
    if ".." in name or ".-" in name or "-." in name or _ADDRESS.fullmatch(name):
        return False
    if name.endswith("--x-s3"):
        return _DIRECTORY_BUCKET.fullmatch(name) is not None
    return not name.startswith(("xn--", "sthree-"))


def allowed(source: str, patterns: Iterable[str]) -> bool:
    """Tell whether a source, once canonical, equals one of the patterns or begins with the part before its `*`."""
    canonical = canonical_source(source)
    if canonical is None:
        return False
    for pattern in patterns:
        if pattern.endswith("*"):
            if canonical.startswith(pattern[:-1]):
                return True
        elif canonical == canonical_source(pattern):
            return True
    return False


def pattern_fault(pattern: str) -> str | None:
    """Say in one sentence why this may not stand in `allow`, or None when it may."""
    if not pattern.startswith(_SCHEMES):
        return "must start with s3://, file:/// or oci://"
    if "*" in pattern[:-1]:
        return 'may hold one "*", at its end, where it stands for any rest'
    if not pattern.endswith("*"):
        return None if canonical_source(pattern) else _UNREADABLE
    stem = pattern[:-1]
    if stem in _SCHEMES:
        return None  # lint says what it thinks of it
    if stem.startswith(OCI):
        return None if any(canonical_source(f"{stem}{rest}") for rest in ("a", "a/a", ":a")) else _UNREADABLE
    probe = f"{stem}aa" if "/" not in stem[5:] else f"{stem}a"  # a bucket has three characters or more
    return None if canonical_source(probe) or canonical_source(f"{probe}a") else _UNREADABLE


_UNREADABLE = (
    "is not a source: s3://BUCKET/PREFIX/ or file:///PATH/ of letters, digits and _.=+@,~:!- "
    "without empty, . or .. segments, or oci://REGISTRY/REPOSITORY:TAG"
)


def is_wide(pattern: str) -> bool:
    """Tell whether a pattern leaves the bucket, the first directory or a registry's account open to strangers."""
    if pattern.startswith(OCI):
        rest = pattern[len(OCI) :]
        return rest.endswith("*") and rest.count("/") < 2 and not _OWN_REGISTRY.fullmatch(rest)
    scheme = "s3://" if pattern.startswith("s3://") else "file:///"
    return pattern.endswith("*") and "/" not in pattern[len(scheme) : -1]
