"""Transfer-Encoding: chunked (RFC 9112, section 7.1), in which S3 sends listings and errors, though never objects."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.hydrator.outcome import Transient

_MAX_LINE = 4096


def dechunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The body that the pieces of a connection carry, up to its end. Transient when they are not chunks or too few."""
    received = b""

    def line() -> bytes:
        nonlocal received
        while b"\r\n" not in received:
            if len(received) > _MAX_LINE:
                raise Transient("the answer is not chunked as it says")
            received += _next(pieces)
        found, _, received = received.partition(b"\r\n")
        return found

    while True:
        number = line().partition(b";")[0].strip()
        if not 0 < len(number) <= 8 or any(digit not in b"0123456789abcdefABCDEF" for digit in number):
            raise Transient("the answer is not chunked as it says")
        length = int(number, 16)
        if length == 0:
            while line():  # trailers
                pass
            return
        while length:
            if not received:
                received = _next(pieces)
            piece, received = received[:length], received[length:]
            length -= len(piece)
            yield piece
        if line():
            raise Transient("the answer is not chunked as it says")


def _next(pieces: Iterator[bytes]) -> bytes:
    piece = next(pieces, b"")
    if not piece:
        raise Transient("the connection was closed in the middle of an answer")
    return piece
