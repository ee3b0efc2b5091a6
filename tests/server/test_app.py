"""The endpoint in process: what is refused, what is answered, and what never happens."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from webhook.admission.decision import Decision, Facts, PolicyVerdict, Settings
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.kube.review import AdmissionRequest
from webhook.policy.model import Mode, PolicySet
from webhook.server.app import Budget, create_app
from webhook.server.call import MAX_BODY
from webhook.server.metrics import Metrics
from webhook.server.record import Outcome, Record
from webhook.server.sinks import Sinks, log_sink

SETTINGS = Settings(hydrator_image="", accelerators=Accelerators(), default_level=Level.BASELINE)
PATCH = [{"op": "add", "path": "/metadata/labels", "value": {"a": "SECRET-VALUE"}}]
MATCHED = PolicyVerdict("llm", Mode.ENFORCE, "matched", "it is a GPU pod")
JSON = {"content-type": "application/json"}


def review(**changes: Any) -> dict[str, Any]:
    request = {
        "uid": "u-1",
        "operation": "CREATE",
        "namespace": "team-a",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": {"metadata": {"generateName": "llm-"}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        **changes,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


class House:
    """The app around a decision that a test chooses."""

    def __init__(self, decision: Decision | BaseException, *extra: Any, budget: Budget | None = None) -> None:
        self.metrics = Metrics()
        self.records: list[Record] = []
        self.caps: list[Mode] = []
        self.asked: list[AdmissionRequest] = []
        self.decision = decision
        sinks = Sinks([*extra, self.metrics, self.records.append, log_sink], self.metrics)
        self.app = create_app(self.facts, sinks, self.metrics, budget=budget, decide=self.decide)
        self.client = TestClient(self.app, raise_server_exceptions=True)

    def facts(self, namespace: str, cap: Mode) -> Facts:
        assert namespace == "team-a"
        self.caps.append(cap)
        return Facts(policies=PolicySet(), settings=SETTINGS, mode_cap=cap)

    def decide(self, request: AdmissionRequest, facts: Facts) -> Decision:
        assert facts.mode_cap in Mode
        self.asked.append(request)
        if isinstance(self.decision, BaseException):
            raise self.decision
        return self.decision

    def ask(self, path: str = "/mutate?timeout=5s", **changes: Any) -> dict[str, Any]:
        answer = self.client.post(path, json=review(**changes))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        whole = answer.json()
        assert (whole["apiVersion"], whole["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: dict[str, Any] = whole["response"]
        assert response["uid"] == changes.get("uid", "u-1")
        return response

    def outcomes(self) -> dict[str, int]:
        return {name: count for name, count in self.metrics.reviews.items() if count}


def test_a_patch_travels_with_warnings_and_annotations() -> None:
    house = House(
        Decision(
            policies=(MATCHED,),
            patch=PATCH,
            warnings=("one",),
            audit_annotations={"policies": "llm"},
            seconds_saved=18.0,
        )
    )
    response = house.ask()
    assert response["allowed"] is True
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == PATCH
    assert response["warnings"] == ["one"]
    assert response["auditAnnotations"] == {"policies": "llm"}
    assert house.outcomes() == {"patched": 1}
    assert house.metrics.seconds_saved == 18.0
    record = house.records[0]
    assert (record.uid, record.namespace, record.name, record.operations) == ("u-1", "team-a", "llm-*", 1)
    assert 0 < record.duration < 5


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (Decision(), "unchanged"),
        (Decision(would_patch=PATCH), "audit"),
        (Decision(patch=PATCH, would_patch=PATCH), "patched"),
        (Decision(allowed=False, message="policy llm: failed"), "denied"),
    ],
)
def test_outcomes(decision: Decision, outcome: str) -> None:
    house = House(decision)
    response = house.ask()
    assert response["allowed"] is decision.allowed
    assert ("patch" in response) == bool(decision.patch)
    assert ("patch" in response) == ("patchType" in response)
    assert house.outcomes() == {outcome: 1}


def test_a_denial_says_why() -> None:
    house = House(Decision(allowed=False, message="policy llm: condition x: no such key"))
    assert house.ask()["status"] == {"code": 403, "message": "policy llm: condition x: no such key"}


def test_the_audit_path_caps_the_mode() -> None:
    house = House(Decision())
    house.ask("/mutate")
    house.ask("/mutate/audit?timeout=2s")
    assert house.caps == [Mode.ENFORCE, Mode.AUDIT]


def test_a_dry_run_is_answered_and_only_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "warmpod")
    house = House(Decision(policies=(MATCHED,), patch=PATCH, seconds_saved=18.0))
    assert house.ask(dryRun=True)["patchType"] == "JSONPatch"
    assert house.outcomes() == {"dry_run": 1}
    assert house.metrics.seconds_saved == 0
    assert not house.metrics.policy_results
    assert not caplog.records


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"null", "JSON null"),
        (b"[" * 200_000, "levels deep"),
        (b"\xff\xfe{}", "not"),
        (json.dumps({**review(), "apiVersion": "admission.k8s.io/v1beta1"}).encode(), "admission.k8s.io/v1"),
        (json.dumps({**review(), "kind": "Pod"}).encode(), "AdmissionReview"),
        (json.dumps(review(uid="")).encode(), "request.uid"),
        (json.dumps(review(uid="u" * 300)).encode(), "request.uid"),
        (json.dumps(review(object=[])).encode(), "request.object"),
    ],
    ids=["empty", "truncated", "null", "nested", "binary", "v1beta1", "other kind", "no uid", "long uid", "list"],
)
def test_malformed_reviews_get_400_and_a_reason(body: bytes, reason: str) -> None:
    house = House(Decision())
    answer = house.client.post("/mutate", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("malformed AdmissionReview: ")
    assert reason in answer.text
    assert "Traceback" not in answer.text
    assert len(answer.text) < 1000
    assert house.outcomes() == {"malformed": 1}
    assert house.metrics.refused["400"] == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_body_makes_a_5xx(body: bytes) -> None:
    house = House(Decision())
    assert house.client.post("/mutate", content=body, headers=JSON).status_code == 400


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(json.dumps(review()).encode()) - 1))
def test_no_truncated_review_makes_a_5xx(cut: int) -> None:
    house = House(Decision(patch=PATCH))
    assert house.client.post("/mutate", content=json.dumps(review()).encode()[:cut], headers=JSON).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": "Application/JSON; charset=utf-8"}, 200),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip, identity"}, 415),
        ({"content-type": "application/yaml"}, 415),
        ({"content-type": "application/jsonp"}, 415),
        ({"content-type": "application/vnd.kubernetes.protobuf"}, 415),
        ({"content-type": ""}, 415),
        ({}, 415),
    ],
)
def test_content_type_and_encoding(headers: dict[str, str], status: int) -> None:
    house = House(Decision())
    answer = house.client.post("/mutate", content=json.dumps(review()).encode(), headers=headers)
    assert answer.status_code == status
    assert house.metrics.refused["415"] == (status == 415)


def test_a_second_content_type_cannot_hide_the_first() -> None:
    house = House(Decision())
    headers = [("content-type", "text/plain"), ("content-type", "application/json")]
    assert house.client.post("/mutate", content=b"{}", headers=headers).status_code == 415


def padded(size: int) -> bytes:
    body = json.dumps(review()).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413), (MAX_BODY * 2, 413)])
def test_bodies_are_capped_at_7_mib(size: int, status: int, chunked: bool) -> None:
    house = House(Decision())

    def pieces() -> Iterator[bytes]:
        whole = padded(size)
        for start in range(0, size, 1 << 20):
            yield whole[start : start + (1 << 20)]

    began = time.monotonic()
    answer = house.client.post("/mutate", content=pieces() if chunked else padded(size), headers=JSON)
    assert time.monotonic() - began < Budget().longest / 2  # nothing waits for more of a body that has ended
    assert answer.status_code == status
    assert house.metrics.refused["413"] == (status == 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/mutate", 405), ("PUT", "/mutate", 405), ("DELETE", "/mutate/audit", 405), ("HEAD", "/mutate", 405),
        ("POST", "/", 404), ("POST", "/mutate/", 404), ("POST", "/mutate/audit/x", 404), ("POST", "/MUTATE", 404),
        ("GET", "/metrics", 404), ("GET", "/readyz", 404), ("POST", "/%6dutate", 200), ("POST", "//mutate", 404),
    ],
)  # fmt: skip
def test_paths_and_methods(method: str, path: str, status: int) -> None:
    house = House(Decision())
    answer = house.client.request(
        method, f"http://testserver{path}", content=json.dumps(review()).encode(), headers=JSON
    )
    assert answer.status_code == status


def test_a_bug_of_ours_lets_the_pod_in_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    house = House(KeyError("SECRET-VALUE"))
    response = house.ask()
    assert response["allowed"] is True
    assert "patch" not in response
    assert response["warnings"] == ["warmpod failed on this pod (KeyError); it starts as it was sent"]
    assert house.outcomes() == {"error": 1}
    assert "u-1" in str(caplog.records[0].__dict__["fields"])


@pytest.mark.parametrize(
    "decision",
    [
        Decision(patch=[{"op": "add", "path": "/x", "value": object()}]),
        Decision(warnings=(1,)),  # type: ignore[arg-type]  # what a bug would make
        RecursionError(),
        MemoryError(),
    ],
    ids=["unencodable patch", "odd warning", "recursion", "memory"],
)
def test_what_cannot_be_rendered_lets_the_pod_in(decision: Decision | BaseException) -> None:
    house = House(decision)
    assert house.ask()["allowed"] is True
    assert house.outcomes() == {"error": 1}


def test_a_failing_sink_reaches_nobody() -> None:
    def broken(_record: Record) -> None:
        raise OSError("the disk is full")

    house = House(Decision(patch=PATCH), broken)
    house.ask()
    assert house.metrics.sink_failures == 1
    assert house.outcomes() == {"patched": 1}


@pytest.mark.parametrize(
    ("query", "late"),
    [
        ("?timeout=5s", False), ("", False), ("?timeout=soon", False), ("?timeout=0s", True), ("?timeout=-1s", True),
        ("?timeout=50ms", True), ("?timeout=1h", False),
    ],
)  # fmt: skip
def test_without_time_left_the_pod_goes_in_as_sent(query: str, late: bool) -> None:
    house = House(Decision(patch=PATCH))
    response = house.ask(f"/mutate{query}")
    assert response["allowed"] is True
    assert ("patch" in response) is not late
    assert house.outcomes() == ({"late": 1} if late else {"patched": 1})
    assert len(house.asked) == (not late)


async def _call(
    house: House, receive: Any, query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http", "method": "POST", "path": "/mutate", "query_string": query, "root_path": "",
        "headers": [(b"content-type", b"application/json"), *headers],
    }  # fmt: skip
    await house.app(scope, receive, send)
    return sent


def test_a_body_that_does_not_arrive_gets_408() -> None:
    house = House(Decision(), budget=Budget(longest=0.2, margin=0.0, shortest_read=0.1))

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    sent = anyio.run(_call, house, receive)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert house.metrics.refused["408"] == 1


def test_the_timeout_of_the_api_server_shortens_the_wait() -> None:
    house = House(Decision())

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.from_thread.start_blocking_portal() as portal:
        sent = portal.call(_call, house, receive, b"timeout=300ms")
    assert sent[0]["status"] == 408


def test_a_client_that_leaves_is_not_answered() -> None:
    house = House(Decision())

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    assert anyio.run(_call, house, receive) == []
    assert house.outcomes() == {}


def test_expect_100_is_refused_before_the_body_is_sent() -> None:
    house = House(Decision())

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    headers = ((b"expect", b"100-continue"), (b"content-length", b"99999999"))
    sent = anyio.run(_call, house, receive, b"", headers)
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_refused_body_is_read_to_its_end_but_not_for_ever() -> None:
    house = House(Decision())

    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1 << 20

    given = endless()
    total = 0

    async def receive() -> Message:
        nonlocal total
        total += await anext(given)
        return {"type": "http.request", "body": b" " * (1 << 20), "more_body": True}

    sent = anyio.run(_call, house, receive)
    assert sent[0]["status"] == 413
    assert MAX_BODY < total <= 32 << 20


def test_log_holds_the_decision_and_nothing_of_the_pod(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "warmpod")
    skipped = PolicyVerdict("other", Mode.ENFORCE, "skipped", "no accelerator")
    house = House(Decision(policies=(MATCHED, skipped), patch=PATCH, would_patch=PATCH, seconds_saved=18.04))
    house.ask()
    assert [record.getMessage() for record in caplog.records] == ["decision"]
    fields = caplog.records[0].__dict__["fields"]
    assert fields.pop("durationMilliseconds") > 0
    assert fields == {
        "uid": "u-1",
        "namespace": "team-a",
        "pod": "llm-*",
        "outcome": "patched",
        "policies": [{"name": "llm", "mode": "Enforce", "result": "matched", "reason": "it is a GPU pod"}],
        "operations": 1,
        "wouldOperations": 1,
        "secondsSaved": 18.0,
        "wouldSecondsSaved": 0.0,
    }
    assert "SECRET" not in str(fields)


@pytest.mark.parametrize(
    ("decision", "lines"),
    [
        (Decision(policies=(MATCHED,)), 0),
        (Decision(would_patch=PATCH), 1),
        (Decision(allowed=False), 1),
        (Decision(violations=("idempotence",)), 1),
    ],
    ids=["unchanged", "audit", "denied", "law"],
)
def test_one_line_for_what_matters(caplog: pytest.LogCaptureFixture, decision: Decision, lines: int) -> None:
    caplog.set_level(logging.INFO, "warmpod")
    house = House(decision)
    house.ask()
    assert len(caplog.records) == lines
    assert house.metrics.law_violations == len(decision.violations)


def test_hostile_names_stay_data() -> None:
    house = House(Decision(patch=PATCH))
    name = 'x" level=error\n\r\u2028\x1b[31m' + "n" * 5000
    response = house.ask(object={"metadata": {"name": name}, "spec": {}})
    assert response["allowed"] is True
    assert house.outcomes() == {Outcome.PATCHED: 1}
