"""One keep-alive HTTP/1.1 connection that receives bodies straight into the caller's memory."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from webhook.hydrator.outcome import Transient
from webhook.hydrator.s3.answer import MAX_HEAD, Answer, Unparsable, parse_head
from webhook.hydrator.s3.chunks import dechunked
from webhook.hydrator.s3.route import Route

_SLOWEST = 64 << 10  # bytes a second; whoever is slower is better asked anew, on another connection
_LOW_WATER = 512 << 10
_WORTH_DRAINING = 256 << 10
_STALLS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """Opens itself when asked something, and again when the other side has closed it meanwhile."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._socket: socket.socket | None = None
        self._tls = route.endpoint.tls
        self._head = bytearray(MAX_HEAD)
        self._view = memoryview(self._head)
        self._start = self._end = 0  # what of _head was received and belongs to the body
        self._remaining = 0  # bytes of the body still to be read, where their number is known
        self._unframed = ""  # "chunked" or "close" where it is not
        self._keep = False
        self._lowest = 1  # SO_RCVLOWAT
        self._failure: Transient | None = None

    def exchange(self, request: bytes, *, bodiless: bool = False) -> Answer:
        """Send a request and receive the head of its answer; its body is read next, or the connection is dropped.

        `bodiless`: it is an answer to HEAD. Transient; HydrationError of making the connection.
        """
        if self._remaining or self._unframed or not self._keep or self._start < self._end:
            self.drop()
        while True:
            reused = self._socket is not None
            self._start = self._end = 0
            try:
                if self._socket is None:
                    self._socket = self._route.connect()
                    self._lowest = 1
                self._send(self._socket, request)
                answer = self._receive_head(self._socket)
            except OSError as error:
                received = self._end
                self.drop()
                # An idle connection may be closed at any time; that says nothing about this request.
                if not reused or received or isinstance(error, _STALLS):
                    raise self._broken(error, "before it answered") from None
            except BaseException:
                self.drop()
                raise
            else:
                self._frame(answer, bodiless)
                return answer

    def readinto(self, view: memoryview) -> int:
        """Fill the view from a body whose length is known, as Body.readinto. Transient."""
        if self._failure:
            raise self._failure
        want = min(len(view), self._remaining)
        got = min(want, self._end - self._start)
        if got:
            view[:got] = self._view[self._start : self._start + got]
            self._start += got
        if got < want:
            got = self._fill(view, got, want)
        self._remaining -= got
        if got == 0 and self._failure:
            raise self._failure
        return got

    def rest(self, limit: int) -> bytes:
        """What is left of the body, whatever says where it ends; of a longer one at least one byte more than `limit`.

        Transient.
        """
        data = bytearray()
        if self._unframed:
            pieces = iter(self._piece, b"")
            for piece in dechunked(pieces) if self._unframed == "chunked" else pieces:
                data += piece
                if len(data) > limit:
                    return bytes(data)
            if self._unframed == "chunked":
                self._unframed = ""
            return bytes(data)
        data.extend(bytes(min(self._remaining, limit + 1)))
        got = 0
        with memoryview(data) as view:
            while got < len(data) and (count := self.readinto(view[got:])):
                got += count
        return bytes(data[:got])

    def finish(self) -> None:
        """Be done with the body: where little of it is left the connection serves on."""
        if self._failure or self._unframed or self._remaining > _WORTH_DRAINING:
            self.drop()
        elif self._remaining:
            with suppress(Transient):
                self.rest(_WORTH_DRAINING)

    def drop(self) -> None:
        """Close it. It opens anew when it is asked something."""
        self._remaining = 0
        self._unframed = ""
        self._failure = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, to: socket.socket, request: bytes) -> None:
        if to.send(request) != len(request):  # it is smaller than any send buffer
            raise BlockingIOError

    def _receive_head(self, source: socket.socket) -> Answer:
        deadline = time.monotonic() + 2 * self._route.stall_seconds
        at = 0
        while True:
            end = self._head.find(b"\r\n\r\n", max(0, at - 3), self._end)
            if end >= 0:
                try:
                    answer = parse_head(self._view[:end].tobytes())
                except Unparsable as error:
                    raise Transient(f"{self._route.place} answers what is not HTTP: {error}") from None
                self._start = end + 4
                if answer.status >= 200:
                    return answer
                self._head[: self._end - self._start] = self._view[self._start : self._end].tobytes()  # 100 Continue
                self._end -= self._start
                at = 0
                continue
            at = self._end
            if at == MAX_HEAD:
                raise Transient(f"{self._route.place} answers with more than {MAX_HEAD >> 10} KiB of headers")
            count = source.recv_into(self._view[at:])
            if not count:
                raise ConnectionResetError
            self._end += count
            if time.monotonic() > deadline:
                raise BlockingIOError

    def _frame(self, answer: Answer, bodiless: bool) -> None:
        headers = answer.headers
        self._keep = headers.get("connection", "").lower() != "close"
        self._remaining = 0
        if bodiless or answer.status in {204, 304}:
            return
        if "transfer-encoding" in headers:
            self._unframed = "chunked"
        elif (length := answer.length) is not None:
            self._remaining = length
        else:
            self._unframed = "close"

    def _fill(self, view: memoryview, got: int, want: int) -> int:
        """Receive until `want` bytes are there; what broke off is kept for the next call."""
        source = self._socket
        if source is None:
            self._failure = Transient("the connection is closed")
            return got
        # The kernel wakes a reader for half a megabyte, not for every packet; but never for more than will come.
        lowest = _LOW_WATER if self._remaining - want >= _LOW_WATER else 1
        if lowest != self._lowest:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, lowest)
            self._lowest = lowest
        read: Callable[[int, memoryview], int] | None = None
        if self._tls:
            # TLS hands over 16 KiB at a time; SSLSocket.read around it costs 7% of all that receiving does.
            read = source._sslobj.read  # type: ignore[attr-defined]  # noqa: SLF001 - as above
        now = time.monotonic()
        deadline = now + self._route.stall_seconds + (want - got) / _SLOWEST
        try:
            while got < want:
                if read:
                    count = read(want - got, view[got:want])
                else:
                    count = source.recv_into(view[got:want], 0, socket.MSG_WAITALL)
                if not count:
                    raise ConnectionResetError  # the end before the end is one more way to break off
                got += count
                if got < want and time.monotonic() > deadline:
                    raise BlockingIOError  # slower than _SLOWEST is as good as nothing
        except OSError as error:
            self._failure = self._broken(error, "in the middle of an object")
        return got

    def _piece(self) -> bytes:
        """Whatever comes next of a body without known length."""
        if self._start < self._end:
            piece = self._view[self._start : self._end].tobytes()
            self._start = self._end
            return piece
        if self._socket is None:
            return b""
        try:
            return self._socket.recv(1 << 16)
        except OSError as error:
            raise self._broken(error, "in the middle of an answer") from None

    def _broken(self, error: OSError, when: str) -> Transient:
        place = self._route.place
        if isinstance(error, _STALLS):
            return Transient(f"{place} sent nothing, or next to nothing, for {self._route.stall_seconds:g} s {when}")
        if isinstance(error, ConnectionError) or (isinstance(error, ssl.SSLError) and "EOF" in str(error)):
            return Transient(f"{place} closed the connection {when}")
        return Transient(f"the connection to {place} failed {when}: {error.strerror or type(error).__name__}")
