"""What can go wrong with a request to the Kubernetes API, as one exception whose text says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal[
    "unreachable", "timeout", "unauthorized", "forbidden", "missing", "conflict", "expired", "throttled", "refused",
    "server", "garbage", "rewound",
]  # fmt: skip
"""Why a request failed. "expired": the resource version or continue token is too old (410), or from the future.
"rewound": versions run backwards, as after a restore of etcd."""

_KINDS: Mapping[int, Kind] = {
    401: "unauthorized",
    403: "forbidden",
    404: "missing",
    408: "timeout",
    409: "conflict",
    410: "expired",
    429: "throttled",
}
_ADVICE: Mapping[Kind, str] = {
    "unreachable": "is the API server up, and does a NetworkPolicy or proxy stand between?",
    "timeout": "is the API server overloaded, or does a NetworkPolicy or proxy stand between?",
    "unauthorized": "it does not accept our credentials: was the service account or the kubeconfig's user removed, "
    "or has its token expired?",
    "forbidden": "apply the RBAC of manifests/base",
    "missing": "this API server does not serve it",
    "garbage": "does a proxy or a login page answer in the API server's place?",
}
_QUOTED = 300
"""Characters that are quoted of what a server said."""


class StatusCause(msgspec.Struct, gc=False):
    """One of a Status' causes."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, rename="camel"):
    """A Status' details."""

    causes: list[StatusCause] | None = None
    retry_after_seconds: int | None = None


class Status(msgspec.Struct, rename="camel"):
    """The `Status` object with which the API server answers when it does not do what it was asked."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding bytes of unknown origin may raise."""

_STATUS = msgspec.json.Decoder(Status)


class ApiFailure(Exception):
    """A request that failed. Its text is a sentence for a log; `what` says what was tried ("list pods").

    `status` is HTTP's, 0 without an answer. `retry_after` is in seconds, None when the server named none. `causes` are
    those of the server's Status.
    """

    def __init__(
        self,
        what: str,
        kind: Kind,
        text: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        causes: Sequence[StatusCause] = (),
    ) -> None:
        advice = _ADVICE.get(kind)
        super().__init__(f"cannot {what}: {text}" + (f"; {advice}" if advice else ""))
        self.what = what
        self.kind: Kind = kind
        self.text = text
        self.status = status
        self.retry_after = retry_after
        self.causes = tuple(causes)


class ErrorEvent(ApiFailure):
    """A watch that ended with an ERROR event. It cannot be resumed: what it would have said next is not known."""


def from_answer(
    what: str, code: int, body: bytes, retry_after: str | None = None, made: type[ApiFailure] = ApiFailure
) -> ApiFailure:
    """The failure that an answer of HTTP status `code`, or an ERROR event, stands for. `body` may be anything."""
    try:
        status = _STATUS.decode(body)
    except UNDECODABLE:
        status = Status()
    details = status.details or StatusDetails()
    causes = details.causes or ()
    kind = _KINDS.get(code) or ("server" if code >= 500 else "refused")
    if status.reason in {"Expired", "Gone"} or any(one.reason == "ResourceVersionTooLarge" for one in causes):
        kind = "expired"
    message = shown(status.message or body.decode("utf-8", "replace")) or "without a word"
    return made(
        what,
        kind,
        f"HTTP {code}: {message}",
        status=code,
        retry_after=_seconds(retry_after, details.retry_after_seconds),
        causes=causes,
    )


def from_error_event(what: str, body: bytes) -> ApiFailure:
    """The failure that an ERROR event of a watch stands for; `body` is the event's object."""
    try:
        code = _STATUS.decode(body).code
    except UNDECODABLE:
        code = 0
    return from_answer(what, code or 500, body, made=ErrorEvent)


def shown(text: str) -> str:
    """The beginning of a server's text, on one line."""
    line = " ".join(text[: 4 * _QUOTED].split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}..."


def _seconds(header: str | None, named: int | None) -> float | None:
    # The API server sends whole seconds. The header's other form, a date, comes from proxies at most: passed over.
    text = (header or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    return float(named) if named is not None and named >= 0 else None
