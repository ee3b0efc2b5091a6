"""MIME multipart as nodeadm and Karpenter read it: strict, with the line of every part.

Both read by Go's net/mail and mime/multipart (amazon-eks-ami 81fec2e, nodeadm/internal/configprovider/mime.go;
karpenter-provider-aws 1d92708, pkg/providers/amifamily/bootstrap/mime/mime.go). Python's email package forgives what
they refuse, and does not tell lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webhook.nodeclass.fault import Fault
from webhook.policy.legibility import shown

CODE = "N001"
_LONGEST_HEADER = 998  # RFC 5322, section 2.1.1
_HEADER = re.compile(r"([!#-'*+.\w^`|~-]+):[ \t]*(.*)", re.ASCII)
_TYPE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)\s*(?:;(.*))?", re.ASCII | re.DOTALL)
_PARAMETER = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]+))\s*(?:;|$)', re.ASCII)
# RFC 2046, section 5.1.1: what a boundary may be.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADERS_OF_PARTS = frozenset({"mime-version"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its media type in small letters (empty: it has none), its text, and the line where that begins."""

    media_type: str
    text: str
    line: int
    encoding: str = ""


def is_multipart(text: str) -> bool:
    """Whether Karpenter takes user data for a MIME archive: by its first header (nodeadm.go, parseUserData)."""
    return text.strip().startswith(("MIME-Version:", "Content-Type:"))


def parts(text: str) -> tuple[tuple[Part, ...], tuple[Fault, ...]]:
    """Return the parts of an archive, and what keeps the programs from reading it so. Never raises."""
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[0].strip():
        return (), (_fault("the archive begins with an empty line, which ends its headers", 1, "remove it"),)
    headers, body, faults = _headers(lines, 0)
    if faults:
        return (), tuple(faults)
    media_type, parameters = _media_type(headers.get("content-type", ""))
    if not media_type.startswith("multipart/"):
        said = f'"{shown(media_type)}"' if media_type else "not there"
        return (), (_fault(f"the archive's Content-Type is {said}, not multipart/mixed", 1, _EXAMPLE),)
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        return (), (_fault("the archive names no usable boundary", _line_of(lines, "content-type"), _EXAMPLE),)
    found: list[Part] = []
    problems: list[Fault] = []
    for start, end in _sections(lines, body, boundary, problems):
        part = _part(lines, start, end, problems)
        if part is not None:
            found.append(part)
    return tuple(found), tuple(problems)


_EXAMPLE = 'begin with MIME-Version: 1.0 and Content-Type: multipart/mixed; boundary="BOUNDARY"'


def _headers(lines: list[str], start: int) -> tuple[dict[str, str], int, list[Fault]]:
    """Headers from a line on, by name in small letters; the line after the empty one; and what is no header."""
    found: dict[str, str] = {}
    last = ""
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip():
            return found, index + 1, []
        match = _HEADER.fullmatch(line.rstrip())
        if line[:1] in {" ", "\t"} and last:
            found[last] += f" {line.strip()}"
        elif match is None:
            message = f'"{shown(line.strip())}" is no header: an empty line ends the headers'
            return found, index + 1, [_fault(message, index + 1, "put an empty line before the content")]
        else:
            last = match.group(1).lower()
            found[last] = match.group(2)
    return found, len(lines), []


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    match = _TYPE.fullmatch(text[:_LONGEST_HEADER])
    if match is None:
        return "", {}
    parameters = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
        for name, quoted, bare in _PARAMETER.findall(match.group(2) or "")
    }
    return match.group(1).lower(), parameters


def _sections(lines: list[str], body: int, boundary: str, problems: list[Fault]) -> Iterator[tuple[int, int]]:
    """First and last-but-one line of each part, counted from 0."""
    opening, closing = f"--{boundary}", f"--{boundary}--"
    start: int | None = None
    seen = False
    for index in range(body, len(lines)):
        line = lines[index].rstrip(" \t")
        if line in {opening, closing}:
            if start is not None:
                yield start, index
            start, seen = index + 1, True
            if line == closing:
                return
        elif lines[index].strip() in {opening, closing}:
            message = f"the boundary {shown(lines[index].strip())} is indented, so it does not divide"
            problems.append(_fault(message, index + 1, "begin the line with it"))
        elif line.startswith(opening) and start is not None:
            message = f"{shown(line)} begins with the boundary and is not it"
            problems.append(_fault(message, index + 1, f"write {shown(opening)}, or {shown(closing)} at the end"))
    if not seen:
        problems.append(
            _fault(f"no line is {shown(opening)}, so there is no part", body, "divide by the boundary named")
        )
    elif start is not None and any(lines[start:]):  # Go takes a last delimiter at the very end for the closing one
        message = f"the archive is not closed: no line is {shown(closing)}"
        last = max(index for index, line in enumerate(lines, 1) if line.strip())
        problems.append(_fault(message, last, f"end it with {shown(closing)}"))
        yield start, len(lines)


def _part(lines: list[str], start: int, end: int, problems: list[Fault]) -> Part | None:
    section = lines[start:end]
    if not any(line.strip() for line in section):
        if end < len(lines):
            problems.append(_fault("an empty part", start + 1, "remove it"))
        return None
    headers, content, faults = _headers(section, 0)
    problems.extend(each.below(start + 1) for each in faults)
    if faults:
        return None
    strange = next((name for name in headers if not name.startswith("content-") and name not in _HEADERS_OF_PARTS), "")
    if strange:
        message = f'"{shown(strange)}" stands among the headers of a part, so the content is lost'
        problems.append(_fault(message, start + 1, "put an empty line between the headers and the content"))
        return None
    media_type, _ = _media_type(headers.get("content-type", ""))
    if not media_type:
        problems.append(_fault("a part without a Content-Type, which nodeadm passes over", start + 1, _TYPES))
    encoding = headers.get("content-transfer-encoding", "").strip().lower()
    return Part(media_type, "\n".join(section[content:]), start + content + 1, encoding)


_TYPES = "Content-Type: application/node.eks.aws for a NodeConfig, text/x-shellscript for a script"


def _line_of(lines: list[str], header: str) -> int:
    return next((index for index, line in enumerate(lines, 1) if line.lower().startswith(f"{header}:")), 1)


def _fault(message: str, line: int, hint: str) -> Fault:
    return Fault(CODE, message, hint, line)
