"""An S3-shaped server that misbehaves by script: what a test holds of it. `fault_server` is the process that serves.

It is a process of its own, so that it has nothing of a test that forks, and it ends with the process that started it.
It checks no signatures; it notes the headers of every request.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).parents[1]
BUCKET = "models"
ACCESS_KEY = "AKIAFAULTSTORETESTS0"
SECRET_KEY = "fault/store+tests"

Operation = Literal["LIST", "HEAD", "GET", "BUCKET", "SESSION", "OTHER"]
"""LIST: ListObjectsV2; HEAD and GET: of an object; BUCKET: HeadBucket; SESSION: CreateSession."""

Certificate = Literal["good", "expired", "wrong-host", "stranger"]
"""What the server shows; `stranger` is signed by an authority that `environment` does not name."""

Kind = Literal[
    "answer",  # `status`, with an error document of `code` and `message` unless there is a `body`; `headers` beside it
    "headers",  # the right answer, with these `headers` instead of its own; "" leaves one out
    "raw",  # these bytes instead of an answer, then the end of the connection
    "close",  # the end of the connection instead of an answer
    "hang",  # nothing, for `seconds` or until the client gives up, then the end of the connection
    "delay",  # the right answer after `seconds`
    "truncate",  # the end of the connection after `after` bytes of the body
    "reset",  # RST after `after` bytes
    "stall",  # nothing more after `after` bytes, for `seconds` or until the client gives up, then the end
    "slow",  # `rate` bytes a second
    "flip",  # another byte at `after` of the object, where it lies in what is asked for
    "swap",  # once `after` bytes are sent the object has become `body`; this answer goes on with the old one
    "mix",  # the same, but this answer goes on with the new one
    "ignore_range",  # 200 and the whole object
    "ignore_match",  # If-Match is not looked at: the present object is sent
    "shift",  # Content-Range and body begin a byte later than asked for
    "short",  # a 206 that ends `after` bytes earlier than asked for, and says so
    "chunked",  # Transfer-Encoding: chunked instead of Content-Length
]


class Fault(NamedTuple):
    """What goes wrong with the matching requests number `start` to `start + times - 1`, counted from 1; see `Kind`.

    `times` 0 is for ever. An empty `operation` or `key` matches any; `covering` matches ranges that hold that byte.
    """

    kind: Kind
    operation: Operation | Literal[""] = ""
    key: str = ""
    start: int = 1
    times: int = 1
    covering: int = -1
    status: int = 503
    code: str = "SlowDown"
    message: str = "Please reduce your request rate."
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    after: int = 0
    seconds: float = 600.0
    rate: float = 1 << 20


class Request(NamedTuple):
    """A request as it came. Names of headers are in lower case; `connection` numbers the connections from 1.

    `first` and `stop` are the bytes [first, stop) that were asked for, (0, -1) without Range.
    """

    operation: Operation
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: int
    first: int
    stop: int


class FaultStore:
    """The store of one test: empty, without faults."""

    bucket = BUCKET
    region = "us-east-1"

    def __init__(self, control: Connection, ports: Mapping[str, int], authority: Path) -> None:
        self._control = control
        self._ports = ports
        self.ca = authority
        self.url = f"http://127.0.0.1:{ports['']}"
        self._call("reset")

    def environment(self, *, tls: bool = False, certificate: Certificate = "good") -> dict[str, str]:
        """What a client needs to come here."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.tls_url(certificate) if tls else self.url,
        } | ({"AWS_CA_BUNDLE": str(self.ca)} if tls else {})

    def tls_url(self, certificate: Certificate = "good") -> str:
        """Where it shows this certificate."""
        return f"https://127.0.0.1:{self._ports[certificate]}"

    def put(self, key: str, body: bytes, *, crc64: int | Literal["right"] | None = "right") -> str:
        """Store an object; its ETag. `crc64` is the full-object checksum it states."""
        etag = self._call("put", key, body, crc64)
        assert isinstance(etag, str)
        return etag

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._call("delete", key)

    def page(self, keys: int) -> None:
        """Let a page of a listing hold at most so many keys."""
        self._call("page", keys)

    def sessions(self, seconds: float) -> None:
        """Let what CreateSession gives end after so many seconds; 300 is what S3 gives."""
        self._call("sessions", seconds)

    def buckets(self, *names: str) -> None:
        """Let these buckets be there instead of `bucket`; all hold the same objects."""
        self._call("buckets", names)

    def fault(self, kind: Kind, operation: Operation | Literal[""] = "GET", **fields: Any) -> None:
        """Let something go wrong: see `Fault`. Of several that match, the one told first counts."""
        self._call("fault", Fault(kind, operation, **fields))

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self._call("mend")

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they came."""
        found: list[Request] = self._call("requests")
        return found

    def asked(self, operation: Operation) -> list[Request]:
        """The requests of one kind."""
        return [request for request in self.requests if request.operation == operation]

    def _call(self, name: str, *arguments: object) -> Any:
        self._control.send((name, arguments))
        if not self._control.poll(30):
            raise TimeoutError(f"the fault server does not answer {name}")
        worked, answer = self._control.recv()
        if not worked:
            raise AssertionError(answer)
        return answer


class FaultProcess(NamedTuple):
    """A running server; `store` empties it for the next test."""

    control: Connection
    ports: Mapping[str, int]
    authority: Path

    def store(self) -> FaultStore:
        """The store, empty and without faults. The one before is no longer to be used."""
        return FaultStore(self.control, self.ports, self.authority)


@contextmanager
def serving(directory: Path) -> Iterator[FaultProcess]:
    """Start the server. Its certificates lie in `directory`, which exists."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = f"from tests.fault_server import main; main({theirs.fileno()}, {str(directory)!r})"
        command = [sys.executable, "-c", code]
        with (
            subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL) as child,
            Connection(ours.detach()) as control,
        ):
            theirs.close()
            try:
                ports = control.recv()
                yield FaultProcess(control, ports, directory / "ca.crt")
            finally:
                control.close()
                child.kill()
