"""Sessions of S3 Express One Zone: credentials of minutes for one directory bucket (CreateSession, S3 API)."""

from __future__ import annotations

from webhook.hydrator.outcome import Transient
from webhook.hydrator.s3.credentials import Credentials
from webhook.hydrator.s3.markup import NotXml, read

HEADERS = [("x-amz-create-session-mode", "ReadOnly")]
QUERY = "session="
MAX_ANSWER = 64 << 10


def parse_session(body: bytes, action: str = "CreateSession") -> Credentials:
    """The credentials of an answer to this action. Transient when it holds none; the text shows nothing of them."""
    found: dict[str, str] = {}

    def ended(parent: str, name: str, text: str) -> None:
        if parent == "Credentials":
            found[name] = text.strip()

    from calendar import timegm  # noqa: PLC0415 - milliseconds, for directory buckets
    from time import strptime  # noqa: PLC0415

    try:
        read(body, ended)
        # The form is fixed, so the locale has no say: 2026-01-31T12:00:00Z, sometimes with a fraction.
        until = timegm(strptime(found["Expiration"][:19], "%Y-%m-%dT%H:%M:%S"))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], float(until))
    except (NotXml, KeyError, ValueError):
        raise Transient(f"the answer to {action} holds no credentials") from None
