"""What `fault_server` holds and how it answers: objects, faults, the requests so far. Knows no sockets."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from awscrt.checksums import crc64nvme

from tests.fault_store import BUCKET, Fault, Operation, Request

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


class Parsed(NamedTuple):
    """The head of a request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @classmethod
    def from_head(cls, text: str) -> Parsed:
        """Of what stands before the empty line."""
        first, *rest = text.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        parts = urlsplit(target)
        return cls(method, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)), headers)

    @property
    def bucket(self) -> str:
        """The first name of the path."""
        return self.path[1:].partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket."""
        return self.path[1:].partition("/")[2]

    @property
    def operation(self) -> Operation:
        """What is wanted."""
        if self.method == "HEAD":
            return "HEAD" if self.key else "BUCKET"
        if self.method != "GET":
            return "OTHER"
        if self.key:
            return "GET"
        if "session" in self.query:
            return "SESSION"
        return "LIST" if self.query.get("list-type") == "2" else "OTHER"


class Answer(NamedTuple):
    """An answer; `body` is sent except to HEAD. `first` is the offset in the object at which it begins."""

    status: int
    headers: dict[str, str]
    body: bytes
    first: int = 0

    def head(self, *, chunked: bool = False) -> bytes:
        """Everything before the body. A header of "" is left out."""
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(self.body))}
        own = {"Date": formatdate(usegmt=True), "Server": "AmazonS3", "x-amz-request-id": "FAULT0000000001"} | length
        text = "".join(f"{name}: {value}\r\n" for name, value in (own | self.headers).items() if value)
        return f"HTTP/1.1 {self.status} Scripted\r\n{text}\r\n".encode()


class _Object(NamedTuple):
    body: bytes
    etag: str
    crc64: int | None


class Objects:
    """The state of the server. Its public methods are what a test calls over the control connection."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._objects: dict[str, _Object] = {}
            self._faults: list[Fault] = []
            self._matched: list[int] = []
            self._requests: list[Request] = []
            self._connections: dict[int, int] = {}
            self._page = 1000
            self._session_seconds = 300.0
            self._buckets: Sequence[str] = (BUCKET,)

    def put(self, key: str, body: bytes, crc64: int | Literal["right"] | None) -> str:
        """Store an object; its ETag."""
        stated = crc64nvme(body) if crc64 == "right" else crc64
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        with self._lock:
            self._objects[key] = _Object(body, etag, stated)
        return etag

    def delete(self, key: str) -> None:
        """Delete an object."""
        with self._lock:
            del self._objects[key]

    def page(self, keys: int) -> None:
        """Let a page of a listing hold so many keys."""
        self._page = keys

    def sessions(self, seconds: float) -> None:
        """Let sessions of S3 Express end after so many seconds."""
        self._session_seconds = seconds

    def buckets(self, names: Sequence[str]) -> None:
        """Let these buckets be there."""
        self._buckets = names

    def fault(self, fault: Fault) -> None:
        """Let something go wrong."""
        with self._lock:
            self._faults.append(fault)
            self._matched.append(0)

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults.clear()
            self._matched.clear()

    def requests(self) -> list[Request]:
        """All so far."""
        with self._lock:
            return list(self._requests)

    def answer(self, parsed: Parsed, connection: int) -> tuple[Fault | None, Answer]:
        """The answer to a request, and the fault that may still concern how it is sent."""
        first, stop = _range(parsed)
        with self._lock:
            number = self._connections.setdefault(connection, len(self._connections) + 1)
            request = Request(parsed.operation, parsed.key, parsed.query, parsed.headers, number, first, stop)
            self._requests.append(request)
            fault = self._fault(request)
            if fault and fault.kind == "answer":
                return fault, self._ordered(parsed, fault)
            answer = self._right(parsed, first, stop, fault.kind if fault else "", fault.after if fault else 0)
        if fault and fault.headers:
            answer = answer._replace(headers=answer.headers | dict(fault.headers))
        if fault and fault.kind == "flip" and answer.first <= fault.after < answer.first + len(answer.body):
            at = fault.after - answer.first
            flipped = answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1 :]
            answer = answer._replace(body=flipped)
        return fault, answer

    def _fault(self, request: Request) -> Fault | None:
        found = None
        for index, fault in enumerate(self._faults):
            if (fault.operation or request.operation) != request.operation or (fault.key or request.key) != request.key:
                continue
            stop = request.stop if request.stop >= 0 else 1 << 62
            if fault.covering >= 0 and not request.first <= fault.covering < stop:
                continue
            self._matched[index] += 1
            nth = self._matched[index] - fault.start
            if found is None and nth >= 0 and (not fault.times or nth < fault.times):
                found = fault
        return found

    def _ordered(self, parsed: Parsed, fault: Fault) -> Answer:
        if fault.body is not None:
            return Answer(fault.status, {"Content-Type": "application/xml"} | dict(fault.headers), fault.body)
        answer = _error(parsed, fault.status, fault.code, fault.message)
        return answer._replace(headers=answer.headers | dict(fault.headers))

    def _right(self, parsed: Parsed, first: int, stop: int, kind: str, after: int) -> Answer:
        operation = parsed.operation
        if parsed.bucket not in self._buckets:
            return _error(parsed, 404, "NoSuchBucket", "The specified bucket does not exist")
        if operation == "LIST":
            return self._listing(parsed)
        if operation == "BUCKET":
            return Answer(200, {"x-amz-bucket-region": "us-east-1"}, b"")
        if operation == "SESSION":
            return _session(self._session_seconds)
        if operation == "OTHER":
            return _error(parsed, 501, "NotImplemented", "A header you provided implies functionality")
        found = self._objects.get(parsed.key)
        if found is None:
            return _error(parsed, 404, "NoSuchKey", "The specified key does not exist.")
        if kind != "ignore_match" and parsed.headers.get("if-match", found.etag) != found.etag:
            return _error(parsed, 412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        size = len(found.body)
        headers = {"ETag": found.etag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if stop < 0 or kind == "ignore_range":
            if found.crc64 is not None and parsed.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
                headers["x-amz-checksum-crc64nvme"] = base64.b64encode(found.crc64.to_bytes(8)).decode()
                headers["x-amz-checksum-type"] = "FULL_OBJECT"
            return Answer(200, headers, found.body)
        if first >= size:
            return _error(parsed, 416, "InvalidRange", "The requested range is not satisfiable")
        begin = first + (kind == "shift")
        end = min(stop, size) - (after if kind == "short" else 0)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        return Answer(206, headers, found.body[begin:end], begin)

    def _listing(self, parsed: Parsed) -> Answer:
        query = parsed.query
        prefix = query.get("prefix", "")
        after = query.get("continuation-token", "") or query.get("start-after", "")
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        limit = min(self._page, int(query.get("max-keys", "1000")))
        encode = (lambda key: quote(key, safe="/")) if query.get("encoding-type") == "url" else escape
        contents = "".join(
            f"<Contents><Key>{encode(key)}</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(self._objects[key].etag, {chr(34): '&quot;'})}</ETag>"
            f"<Size>{len(self._objects[key].body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys[:limit]
        )
        more = len(keys) > limit
        token = f"<NextContinuationToken>{escape(keys[limit - 1])}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(parsed.bucket)}</Name><Prefix>{encode(prefix)}</Prefix>"
            f"<KeyCount>{len(keys[:limit])}</KeyCount><MaxKeys>{limit}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        )
        return Answer(200, {"Content-Type": "application/xml", "x-amz-bucket-region": "us-east-1"}, body.encode())


def _range(parsed: Parsed) -> tuple[int, int]:
    found = _RANGE.match(parsed.headers.get("range", ""))
    if found is None:
        return 0, -1
    return int(found[1]), int(found[2]) + 1 if found[2] else 1 << 62


def _session(seconds: float) -> Answer:
    expires = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><CreateSessionResult><Credentials>'
        "<SessionToken>faultsession</SessionToken><SecretAccessKey>sessionsecret</SecretAccessKey>"
        f"<AccessKeyId>ASIASESSION</AccessKeyId><Expiration>{expires}</Expiration>"
        "</Credentials></CreateSessionResult>"
    )
    return Answer(200, {"Content-Type": "application/xml"}, body.encode())


def _error(parsed: Parsed, status: int, code: str, message: str) -> Answer:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message><Key>{escape(parsed.key)}</Key>"
        f"<BucketName>{escape(parsed.bucket)}</BucketName><RequestId>FAULT0000000001</RequestId></Error>"
    )
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())
