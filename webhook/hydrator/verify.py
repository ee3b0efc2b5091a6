"""`warmpod hydrate --verify DIR`: whether what lies there is still what was brought."""

from __future__ import annotations

import time

from webhook.hydrator.cache.verification import verify as compare
from webhook.hydrator.engine.crc import crc64_many
from webhook.hydrator.measures import shown_bytes, shown_seconds
from webhook.hydrator.outcome import Exit
from webhook.hydrator.words import Voice


def verify(path: str, voice: Voice) -> int:
    """One line to stdout for each file that is not as its manifest says; the exit code. HydrationError."""
    began = time.monotonic()
    found = compare(path, crc64_many)
    out = Voice(1)  # as patient with whoever listens as all else here
    for damage in found.damages:
        out.line(f"{damage.path}: {damage.why}")
    size = f"{_count(found.versions, 'version')}, {_count(found.files, 'file')}, {shown_bytes(found.bytes)}"
    voice.line(f"{path}: {size} compared in {shown_seconds(time.monotonic() - began)}")
    if not found.damages:
        return Exit.OK
    voice.say("error", f"{_count(len(found.damages), 'thing')} in {path} {_are(len(found.damages))} not as brought")
    voice.say("hint", "delete the version's directory: the next run brings it anew; look at the node's disk")
    return Exit.DAMAGED


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
