"""Ranges of objects, for one thread. Every one is asked for on condition that the object is the one that was listed."""

from __future__ import annotations

from base64 import b64decode

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File
from webhook.hydrator.s3.answer import Answer
from webhook.hydrator.s3.client import Client
from webhook.hydrator.s3.connection import Connection
from webhook.hydrator.s3.refusal import Asked

_CHECKSUM = ("x-amz-checksum-mode", "ENABLED")


class Range:
    """A Body: bytes of one answer."""

    def __init__(self, connection: Connection, crc64: int | None) -> None:
        self.crc64 = crc64
        self.readinto = connection.readinto
        self._connection = connection

    def close(self) -> None:
        """As Body.close."""
        self._connection.finish()


class S3Reader:
    """A Reader: one keep-alive connection."""

    def __init__(self, client: Client, bucket: str, origin: str) -> None:
        self._client = client
        self._bucket = bucket
        self._origin = origin

    def open(self, file: File, offset: int, length: int) -> Range:
        """As Reader.open."""
        whole = length == file.size and offset == 0
        headers = [("if-match", file.etag)]
        # S3 states the checksum of an object with all of it, not with a range.
        headers.append(_CHECKSUM if whole else ("range", f"bytes={offset}-{offset + length - 1}"))
        client = self._client
        answer = client.ask("GET", client.endpoint.path(file.name), "", headers)
        if answer.status not in {200, 206}:
            raise client.refuse(answer, self._asked(file))
        try:
            self._check(answer, file, offset, length, whole=whole)
        except BaseException:
            client.connection.drop()  # nobody reads what comes
            raise
        return Range(client.connection, stated_crc64(answer) if whole else None)

    def stated_crc64(self, file: File) -> int | None:
        """As Source.stated_crc64."""
        client = self._client
        path = client.endpoint.path(file.name)
        headers = [("if-match", file.etag), _CHECKSUM]
        answer = client.ask("HEAD", path, "", headers)
        if answer.status != 200:
            raise explained(client, answer, path, self._asked(file))
        return stated_crc64(answer)

    def close(self) -> None:
        """As Reader.close."""
        self._client.close()

    def _asked(self, file: File) -> Asked:
        return Asked("s3:GetObject", self._bucket, file.name, self._origin, planned=True)

    def _check(self, answer: Answer, file: File, offset: int, length: int, *, whole: bool) -> None:
        """Whether the answer is what was asked for, as far as its head tells. HydrationError CHANGED or CORRUPT."""
        what = f"s3://{self._bucket}/{file.name}"
        etag = answer.headers.get("etag", file.etag)
        if etag.strip('"') != file.etag.strip('"'):
            raise HydrationError(
                Exit.CHANGED,
                f"{what} has been replaced since it was listed",
                "run again for the new version; publish models under a new prefix rather than in place",
            )
        place = self._client.endpoint.authority
        if not whole:
            said = answer.headers.get("content-range", "")
            right = f"bytes {offset}-{offset + length - 1}/{file.size}"
            if answer.status != 206:
                raise _corrupt(f"{place} answers with all of {what} where a range of it was asked for")
            if said not in {right, f"bytes {offset}-{offset + length - 1}/*"}:
                raise _corrupt(f"{place} answers with {said[:80]!r} of {what} where {right!r} was asked for")
        elif answer.status != 200:
            raise _corrupt(f"{place} answers with a part of {what} where all of it was asked for")
        if answer.length != length:
            raise _corrupt(f"{place} announces {answer.length} bytes of {what} where {length} were asked for")


def stated_crc64(answer: Answer) -> int | None:
    """CRC64NVME of the whole object in an answer's headers, if there is one that can be."""
    text = answer.headers.get("x-amz-checksum-crc64nvme", "")
    if not text or answer.headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    try:
        value = b64decode(text, validate=True)
    except ValueError:
        return None
    return int.from_bytes(value, "big") if len(value) == 8 else None


def explained(client: Client, answer: Answer, path: str, asked: Asked) -> Exception:
    """What an answer to HEAD means that has no body to say it: GET is answered with one."""
    client.connection.finish()
    if answer.status in {400, 401, 403}:
        again = client.ask("GET", path, "", [("range", "bytes=0-0")])
        if again.status >= 300:
            return client.refuse(again, asked)
        client.connection.drop()
    return client.refuse(answer, asked)


def _corrupt(message: str) -> HydrationError:
    return HydrationError(
        Exit.CORRUPT, message, "a proxy or cache on the way, or a store that does not know ranges, cannot be used"
    )
