"""One call over HTTP: its body read within limits, or an answer in plain text that says why not."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

MAX_BODY = 7 * 1024 * 1024
"""An UPDATE review holds two objects of 3 MiB; controller-runtime reads as much."""

_MAX_DISCARDED = 16 * 1024 * 1024  # of a refused body: read so that the client sees our answer and not a reset
_MAX_DISCARDED_OF_STRANGERS = 1024 * 1024  # an API server that shows the wrong token should see why
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Refused(Exception):
    """The call is answered with a 4xx; the text is for whoever sent it.

    `ended` when its body was read to the end; `stranger` when its sender is nobody we know, for whom we do less.
    """

    def __init__(self, status: int, reason: str, *, ended: bool = False, stranger: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.ended = ended
        self.stranger = stranger


def checked_length(scope: Scope) -> int:
    """The declared length of the body, 0 when none is declared. Refused for a header that rules the body out."""
    json, length = False, 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            json = value.partition(b";")[0].strip().lower() == b"application/json"
            if not json:
                break
        elif name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Refused(415, "Content-Encoding is not taken; send the review as it is")
    if not json:
        raise Refused(415, "Content-Type must be application/json")
    if length > MAX_BODY:
        raise _too_large()
    return length


async def read(receive: Receive, length: int, seconds: float) -> bytes | None:
    """The whole body, or None when the client left. Refused when it is too large, or takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
            first: bytes = message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body") and len(first) <= MAX_BODY:
                return first
            body = bytearray(first)
            while message["type"] == "http.request":
                if len(body) > MAX_BODY:
                    raise _too_large(ended=not message.get("more_body"))
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
                body += message.get("body", b"")
            return None
    except TimeoutError:
        raise Refused(
            408, f"the body did not arrive in time ({length or 'an unknown number of'} bytes declared)"
        ) from None


def _too_large(*, ended: bool = False) -> Refused:
    return Refused(413, f"the review is larger than {MAX_BODY} bytes", ended=ended)


async def refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    """Answer a refused call, once what is left of its body was read away or its connection is to be closed."""
    whole = refused.ended or await _discard(scope, receive, refused)
    text = f"{refused.reason}\n".encode("utf-8", "backslashreplace")
    headers = [_TEXT, (b"content-length", b"%d" % len(text))]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.stranger or not whole:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def _discard(scope: Scope, receive: Receive, refused: Refused) -> bool:
    """Read what is left of a refused body and keep nothing; True when its end was reached."""
    if refused.status == 408 or any(name == b"expect" for name, _ in scope["headers"]):
        return False
    left = _MAX_DISCARDED_OF_STRANGERS if refused.stranger else _MAX_DISCARDED
    try:
        async with asyncio.timeout(2.0):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return True
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass
    return False
