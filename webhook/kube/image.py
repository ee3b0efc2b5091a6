"""Image references, in the one canonical spelling by which pods, nodes and policies can be compared.

Follows github.com/distribution/reference (ParseDockerRef), which containerd, CRI-O and the kubelet use. A reference
that it refuses is a value here, not an error: a pod with one never starts, but it must not stop us from answering.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_DOCKER_HUB = "docker.io"
_LEGACY_DOCKER_HUB = "index.docker.io"
_LONGEST_PATH = 255
# distribution sets no bound to the domain; DNS (253) and a port do. With the path, a tag and a digest that is below
# this.
_LONGEST_REFERENCE = 1024

_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_HEX = re.compile(r"[a-f0-9]+")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Reference:
    """One image by registry, repository and a tag, a digest or both. At least one of the two is set."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Registry and repository: `docker.io/library/busybox`."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def canonical(self) -> str:
        """`docker.io/library/busybox:latest`, or `…/busybox@sha256:…`: a digest says all, a tag with it is dropped."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


@dataclass(frozen=True, slots=True)
class InvalidReference:
    """A text that names no image, and why."""

    text: str
    reason: str


@lru_cache(maxsize=4096)
def parse(text: str) -> Reference | InvalidReference:
    """Parse what a pod or a policy writes, with the defaults filled in: Docker Hub, `library/`, `:latest`."""
    if not text:
        return InvalidReference(text, "an image reference is empty")
    if len(text) > _LONGEST_REFERENCE:
        return InvalidReference(f"{text[:64]}…", f"longer than {_LONGEST_REFERENCE} characters")
    if _IDENTIFIER.fullmatch(text):
        return InvalidReference(text, "64 hexadecimal digits are an image ID, not a name; write repository@sha256:…")
    remainder, at, digest = text.partition("@")
    if at and (reason := _digest_problem(digest)):
        return InvalidReference(text, reason)
    domain, remainder = _split_domain(remainder)
    path, tag = _split_tag(remainder)
    if path.lower() != path:
        return InvalidReference(text, f"the repository {path!r} must be lowercase")
    if tag is not None and not _TAG.fullmatch(tag):
        return InvalidReference(text, f"the tag {tag!r} is not 1 to 128 letters, digits, '_', '.' or '-'")
    if not _DOMAIN.fullmatch(domain):
        # distribution then reads the whole as a path that has no domain, such as `under_score.com/app`.
        domain, path = "", f"{domain}/{path}"
    if not _PATH.fullmatch(path):
        return InvalidReference(text, f"the repository {path!r} is not lowercase words joined by '/', '.', '_' or '-'")
    if len(path) > _LONGEST_PATH:
        return InvalidReference(text, f"the repository is longer than {_LONGEST_PATH} characters")
    return Reference(domain, path, tag if tag is not None or at else "latest", digest if at else None)


def canonical(text: str) -> str | None:
    """The canonical spelling of a reference; None when it is not one."""
    found = parse(text)
    return found.canonical if isinstance(found, Reference) else None


def _split_domain(text: str) -> tuple[str, str]:
    """Which registry, and the rest: distribution's splitDockerDomain."""
    first, slash, rest = text.partition("/")
    if not slash:
        return _DOCKER_HUB, f"library/{text}"
    if first == _LEGACY_DOCKER_HUB:
        first = _DOCKER_HUB
    elif first != "localhost" and "." not in first and ":" not in first and first.lower() == first:
        first, rest = _DOCKER_HUB, text
    if first == _DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _split_tag(text: str) -> tuple[str, str | None]:
    path, colon, tag = text.partition(":")
    return path, tag if colon else None


def _digest_problem(digest: str) -> str | None:
    algorithm, colon, value = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if not colon or length is None:
        return f"the digest must begin with one of {', '.join(f'{name}:' for name in _DIGEST_LENGTHS)}"
    if len(value) != length or not _HEX.fullmatch(value):
        return f"a {algorithm} digest has {length} lowercase hexadecimal digits"
    return None
