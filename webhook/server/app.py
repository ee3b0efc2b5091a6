"""The webhook over HTTP: `POST /mutate` and `POST /mutate/audit`.

Two channels that never mix. A *call* that is wrong (not JSON, too large, too slow) gets an HTTP 4xx and the API server
applies its failurePolicy. A *review* is always answered 200, allowed unless a policy says `failurePolicy: Fail`; what
goes wrong in us is caught here, counted, and answered allowed without a patch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.daemon.logs import LOGGER
from webhook.kube import names, pod, review
from webhook.kube.review import AdmissionRequest, Answer, MalformedReview
from webhook.policy.model import Mode
from webhook.server import timeout
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.call import Refused, checked_length, read, refuse
from webhook.server.callers import Callers
from webhook.server.metrics import Metrics
from webhook.server.record import Outcome, Record
from webhook.server.sinks import Sinks

FactsSource = Callable[[str, Mode], Facts]
"""What may be known for a review in a namespace, with every policy's mode capped: one reference read, no I/O."""

Decide = Callable[[AdmissionRequest, Facts], Decision]

Keep = Callable[[AdmissionRequest, Facts, Decision, int], None]
"""Takes a decided review and the bytes it had, once it is answered. It neither waits nor raises."""

Probe = Callable[[Mode], str]
"""The warning that tells `warmpod doctor` who answered on the path of this cap."""

_JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds. `longest` is waited for a body whatever the API server allows; `margin` is kept for the way back."""

    longest: float = 10.0
    margin: float = 0.1
    shortest_read: float = 0.25
    """Given to the body even when no time is left, for without the review's uid there is no answer."""


class _Decided(NamedTuple):
    """A review that was decided, for those who keep something of it."""

    record: Record
    request: AdmissionRequest
    facts: Facts
    decision: Decision


class _Uid(msgspec.Struct):
    uid: str


class _Uids(msgspec.Struct):
    request: _Uid


_uids = msgspec.json.Decoder(_Uids)


class Reviews:
    """One ASGI endpoint that answers reviews with policies in at most `cap` mode."""

    def __init__(
        self,
        facts: FactsSource,
        sinks: Sinks,
        metrics: Metrics,
        *,
        cap: Mode,
        budget: Budget | None = None,
        decide: Decide = admit,
        probe: Probe | None = None,
        keep: Keep | None = None,
    ) -> None:
        self._facts = facts
        self._sinks = sinks
        self._metrics = metrics
        self._cap = cap
        self._budget = budget or Budget()
        self._decide = decide
        self._probe = probe
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = scope.get("state", {}).get("arrived") or time.monotonic()
        given = timeout.asked(scope["query_string"])
        budget = self._budget
        allowance = budget.longest if given is None else min(given, budget.longest)
        late_at = arrived + allowance - budget.margin
        try:
            length = checked_length(scope)
            body = await read(receive, length, max(late_at - time.monotonic(), budget.shortest_read))
            if body is None:
                return  # the client went away
            payload, decided = self._answer(body, arrived, late_at)
        except Refused as refused:
            self._metrics.refused[str(refused.status)] += 1
            if refused.status == 400:
                self._metrics.reviews[Outcome.MALFORMED] += 1
            await refuse(scope, receive, send, refused)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_JSON, (b"content-length", b"%d" % len(payload))],
            }
        )
        await send({"type": "http.response.body", "body": payload})
        if decided is not None:
            self._sinks(decided.record)
            if self._keep is not None:
                self._keep(decided.request, decided.facts, decided.decision, len(body))

    def _answer(self, body: bytes, arrived: float, late_at: float) -> tuple[bytes, _Decided | None]:
        uid = ""
        try:
            request = review.parse(body)
            uid = request.uid
            if time.monotonic() >= late_at:
                self._metrics.reviews[Outcome.LATE] += 1
                return _allowed(uid, "warmpod had no time left to look at this pod; it starts as it was sent"), None
            facts = self._facts(request.namespace, self._cap)
            decision = self._decide(request, facts)
            payload = review.render(_to_answer(uid, decision, self._probed(request)))
            record = _record(request, decision, time.monotonic() - arrived)
            return payload, _Decided(record, request, facts, decision)
        except MalformedReview as malformed:
            raise Refused(400, f"malformed AdmissionReview: {malformed}", ended=True) from malformed
        except Exception as error:
            self._metrics.reviews[Outcome.ERROR] += 1
            LOGGER.exception("review failed", extra={"fields": {"uid": uid[:253]}, "throttled": True})
            uid = uid or _uid_of(body)
            if not uid:
                raise Refused(
                    400, "the review could not be read, and it has no uid to answer to", ended=True
                ) from error
            return _allowed(uid, f"warmpod failed on this pod ({type(error).__name__}); it starts as it was sent"), None

    def _probed(self, request: AdmissionRequest) -> tuple[str, ...]:
        """What a dry run that asks who answers is told. A pod that is really made is told nothing of us."""
        if self._probe is None or not request.dry_run or request.object is None:
            return ()
        return (self._probe(self._cap),) if pod.annotation(request.object, names.ANNOTATION_PROBE) is not None else ()


def create_app(
    facts: FactsSource,
    sinks: Sinks,
    metrics: Metrics,
    *,
    budget: Budget | None = None,
    decide: Decide = admit,
    probe: Probe | None = None,
    names: frozenset[str] = frozenset(),
    tokens: BearerTokens | None = None,
    keep: Keep | None = None,
) -> ASGIApp:
    """The routes of the TLS port. Other paths answer 404, other methods 405; strangers 401 or 403 on every path."""
    enforce = Reviews(facts, sinks, metrics, cap=Mode.ENFORCE, budget=budget, decide=decide, probe=probe, keep=keep)
    audit = Reviews(facts, sinks, metrics, cap=Mode.AUDIT, budget=budget, decide=decide, probe=probe, keep=keep)
    # A router alone: no middleware stands between the socket and the endpoint, and only the path decides.
    router = Router(
        [
            Route("/mutate", enforce, methods=["POST"]),
            Route("/mutate/audit", audit, methods=["POST"]),
        ],
        redirect_slashes=False,
    )
    return Callers(router, metrics, names, tokens) if names or tokens is not None else router


def _to_answer(uid: str, decision: Decision, first: tuple[str, ...]) -> Answer:
    return Answer(
        uid=uid,
        allowed=decision.allowed,
        patch=decision.patch,
        warnings=(*first, *decision.warnings),  # the API server takes so many characters, and what is first
        audit_annotations=decision.audit_annotations,
        code=200 if decision.allowed else 403,
        message=decision.message,
    )


def _record(request: AdmissionRequest, decision: Decision, duration: float) -> Record:
    if request.dry_run:
        outcome = Outcome.DRY_RUN
    elif not decision.allowed:
        outcome = Outcome.DENIED
    elif decision.patch:
        outcome = Outcome.PATCHED
    elif decision.would_patch:
        outcome = Outcome.AUDIT
    else:
        outcome = Outcome.UNCHANGED
    return Record(
        uid=request.uid,
        namespace=request.namespace,
        name=request.display_name,
        outcome=outcome,
        policies=decision.policies,
        operations=len(decision.patch),
        would_operations=len(decision.would_patch),
        seconds_saved=decision.seconds_saved,
        would_seconds_saved=decision.would_seconds_saved,
        violations=decision.violations,
        duration=duration,
    )


def _uid_of(body: bytes) -> str:
    try:
        return _uids.decode(body).request.uid[:253]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""


def _allowed(uid: str, warning: str) -> bytes:
    """The plainest answer there is, made without anything that could have failed before."""
    response: dict[str, Any] = {"uid": uid, "allowed": True, "warnings": [warning]}
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
