"""What an answer that is not the wanted one means: an exception in words, Transient when trying again may help.

Codes: "Error responses", Amazon S3 API reference.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3.address import Endpoint, arn, encoded, is_region
from webhook.hydrator.s3.answer import Answer
from webhook.hydrator.s3.markup import NotXml, read

MAX_ERROR = 64 << 10
_STALE = frozenset({"ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"})
_WRONG_KEYS = {
    "InvalidAccessKeyId": "the store does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key, or a proxy changes requests on their way",
    "InvalidToken": "the session token is malformed",
    "InvalidClientTokenId": "the store does not know the access key",
}
_RETRIED = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Stale(Transient):
    """The credentials have run out: newer ones are needed before it is tried again."""


class Elsewhere(HydrationError):
    """The bucket is in another `region` than it was asked for in."""

    def __init__(self, region: str, message: str, hint: str) -> None:
        super().__init__(Exit.UNREACHABLE, message, hint)
        self.region = region


class Forbidden(HydrationError):
    """The identity is known and has no right to this; it may have one to something else."""


class Asked(NamedTuple):
    """A request, for people."""

    action: str
    """IAM's name of what it does, such as `s3:GetObject`."""
    bucket: str
    key: str
    """The object, or the prefix that is listed; "" for the bucket."""
    origin: str
    """Whose right it is."""
    planned: bool = False
    """A listing named the object a moment ago."""


class Problem(NamedTuple):
    """Code and message of an error's body, empty where it has none that can be read; `region` where it names one."""

    code: str
    message: str
    region: str


def problem_of(body: bytes, secrets: tuple[str, ...]) -> Problem:
    """What the body says, whatever it is, without the secrets: fit to be shown.

    Other elements than these are passed over: they repeat the request.
    """
    found: dict[str, str] = {}

    def ended(parent: str, name: str, text: str) -> None:
        if parent == "Error":
            found.setdefault(name, text)

    try:
        read(body, ended)
    except NotXml:
        return Problem("", "", "")
    region = found.get("Region", "")
    return Problem(
        _shown(found.get("Code", ""), secrets, 80),
        _shown(found.get("Message", ""), secrets, 500),
        region if is_region(region) else "",
    )


def refusal(answer: Answer, body: bytes, asked: Asked, endpoint: Endpoint, secrets: tuple[str, ...]) -> Exception:
    """The HydrationError, Transient or Stale that an answer means. `secrets` are cut out of what the store says."""
    status = answer.status
    code, message, region = problem_of(body, secrets)
    said = f"status {status}" + (f" {code}" if code else "")
    what = f"s3://{asked.bucket}/{asked.key}"
    if code in _STALE:
        return Stale(f"{what}: the credentials have expired ({asked.origin})")
    if status == 429 or (status >= 500 and status != 501) or code in _RETRIED:
        return Transient(f"{endpoint.authority} answers {said}" + (f": {message}" if message else ""), answer.delay)
    if 300 <= status < 400 or code in {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}:
        return _elsewhere(answer, region, what, endpoint, secrets)
    if status == 412 or (asked.planned and status in {404, 416} and code != "NoSuchBucket"):
        gone = "is gone" if status == 404 else "has been replaced"
        return HydrationError(
            Exit.CHANGED,
            f"{what} {gone} since it was listed",
            "run again for the new version; publish models under a new prefix rather than in place",
        )
    if code == "RequestTimeTooSkewed":
        return _skewed(answer, endpoint)
    if code in _WRONG_KEYS:
        return HydrationError(
            Exit.DENIED, f"{endpoint.authority}: {_WRONG_KEYS[code]} ({asked.origin})", "check the credentials' source"
        )
    if code == "InvalidObjectState":
        return HydrationError(
            Exit.DENIED,
            f"{what} is archived and cannot be read as it is",
            "restore it (S3 Glacier, Intelligent-Tiering archive), or copy it to another storage class",
        )
    if code == "NoSuchBucket":
        return HydrationError(
            Exit.NOT_FOUND,
            f"there is no bucket {asked.bucket!r} at {endpoint.authority}",
            "check the spelling of the source, the region and the endpoint",
        )
    if status == 404:
        kind = "" if code else ", and the answer is none of S3's"
        return HydrationError(Exit.NOT_FOUND, f"{what} does not exist{kind}", "check the source and the endpoint")
    if status in {401, 403} or code.startswith("KMS."):
        return _denied(code, message, what, asked, endpoint)
    return HydrationError(
        Exit.UNREACHABLE,
        f"{endpoint.authority} answers {said} to {asked.action} of {what}" + (f": {message}" if message else ""),
        "check --endpoint-url: is it S3, or a store or proxy that does not know this request?",
    )


def _denied(code: str, message: str, what: str, asked: Asked, endpoint: Endpoint) -> HydrationError:
    kms = code.startswith("KMS.") or "kms:" in message or "ciphertext" in message.lower()
    action = "kms:Decrypt" if kms else asked.action
    if kms:
        resource = f"the KMS key that encrypts {arn(endpoint, asked.bucket, asked.key)}"
    elif asked.action == "s3:ListBucket":
        resource = f"{arn(endpoint, asked.bucket)} (prefix {asked.key!r})"
    else:
        resource = arn(endpoint, asked.bucket, asked.key)
    said = f"; the store says {code}" * bool(code) + f": {message}" * bool(message)
    return Forbidden(
        Exit.DENIED,
        f"{what} may not be read: {asked.origin} has no right to {action} on {resource}{said}",
        f"allow {action} in the policy of the role, and look at the bucket's policy, its VPC endpoint's and, "
        "for encrypted objects, the KMS key's",
    )


def _elsewhere(answer: Answer, region: str, what: str, endpoint: Endpoint, secrets: tuple[str, ...]) -> HydrationError:
    region = answer.headers.get("x-amz-bucket-region", "") or region
    if is_region(region) and region != endpoint.region:
        return Elsewhere(
            region,
            f"{what} is in region {region!r}, but it was asked for in {endpoint.region!r} at {endpoint.authority}",
            f"set AWS_REGION={region}" + (", and an endpoint of that region" if endpoint.overridden else ""),
        )
    target = _shown(answer.headers.get("location", "").partition("?")[0], secrets, 200)
    return HydrationError(
        Exit.UNREACHABLE,
        f"{endpoint.authority} answers status {answer.status} for {what}"
        + (f" and points to {target!r}; credentials are not taken to another host" if target else ""),
        "name the place itself by --endpoint-url or AWS_REGION; look out for a proxy or login page in between",
    )


def _skewed(answer: Answer, endpoint: Endpoint) -> HydrationError:
    theirs = _seconds(answer.headers.get("date", ""))
    apart = ""
    if theirs is not None:
        ahead = round(time.time() - theirs)
        apart = f" by {abs(ahead):,} s: this node's is {'ahead' if ahead > 0 else 'behind'}"
    return HydrationError(
        Exit.DENIED,
        f"the clocks of this node and of {endpoint.authority} differ{apart}",
        "set this node's clock (chrony, Amazon Time Sync at 169.254.169.123): signatures are good for 15 minutes",
    )


def _seconds(date: str) -> float | None:
    """A Date header, as `Sun, 06 Nov 1994 08:49:37 GMT`. By hand: strptime depends on the locale."""
    try:
        _, day, month, year, clock, _ = date.split()
        hour, minute, second = clock.split(":")
        from calendar import timegm  # noqa: PLC0415 - milliseconds, for an error

        return timegm((int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)))
    except (ValueError, OverflowError):
        return None


def _shown(text: str, secrets: tuple[str, ...], longest: int) -> str:
    """The store's words on one line, without what only we should know. Cut last, lest half a secret stays."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[...]").replace(encoded(secret), "[...]")
    return "".join(letter if letter.isprintable() else " " for letter in text[:longest])
