"""The parts of the Kubernetes API's client that need no server."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.inventory.objects import TYPES, Node, Resource
from webhook.sources.kube_api import Pace
from webhook.sources.kube_api.backoff import Backoff
from webhook.sources.kube_api.decoding import Garbage, Reader, compact, key
from webhook.sources.kube_api.failure import ApiFailure, from_answer, from_error_event
from webhook.sources.kube_api.lines import Lines, OverlongLine
from webhook.sources.kube_api.permissions import CALLS
from webhook.sources.kube_api.request import Request

# --- lines


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_are_the_same_in_whatever_chunks(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    feed = Lines()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += feed.feed(whole[start:end])
    *ended, rest = lines or [b""]
    assert found == [line for line in ended if line and not line.isspace()]
    assert feed.rest == len(rest)


def test_line_without_end_is_refused() -> None:
    feed = Lines(limit=100)
    feed.feed(b"x" * 60)
    with pytest.raises(OverlongLine):
        feed.feed(b"x" * 60)


def test_small_chunks_of_a_large_line_cost_no_more_than_their_bytes() -> None:
    feed = Lines()
    for _ in range(200_000):
        assert feed.feed(b"0123456789012345678901234567890123456789") == []
    assert [len(line) for line in feed.feed(b"\n")] == [8_000_000]
    assert feed.rest == 0


# --- backoff

PACE = Pace()


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=40))
def test_waits_stay_within_bounds(asked: list[float | None]) -> None:
    backoff = Backoff(PACE)
    for one in asked:
        wait = backoff.next(one)
        if one is None:
            assert PACE.base <= wait <= PACE.cap
        else:
            assert wait >= min(one, PACE.retry_after_cap)
            assert wait <= PACE.retry_after_cap + PACE.cap


def test_waits_grow_and_start_small_again() -> None:
    backoff = Backoff(PACE)
    waits = [backoff.next() for _ in range(200)]
    assert max(waits) > 10
    backoff.reset()
    assert backoff.next() <= 3 * PACE.base


@pytest.mark.parametrize("asked", [None, 1.0, 30.0])
def test_replicas_do_not_wait_in_step(asked: float | None) -> None:
    waits = sorted(Backoff(PACE).next(asked) for _ in range(50))
    assert waits[-1] - waits[0] > PACE.base / 2


# --- failures


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (400, b"", "refused"),
        (401, b"Unauthorized", "unauthorized"),
        (403, b"{}", "forbidden"),
        (404, b"404 page not found", "missing"),
        (409, b"[]", "conflict"),
        (410, b"null", "expired"),
        (422, b"\xff\xff", "refused"),
        (429, b"[" * 100_000, "throttled"),
        (500, b'{"details": {"causes": 7}}', "server"),
        (500, b'{"reason": "Expired"}', "expired"),
        (504, b'{"reason": "Timeout", "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}', "expired"),
        (301, b"", "refused"),
    ],
)
def test_answers_are_sorted_by_what_they_mean(code: int, body: bytes, kind: str) -> None:
    failure = from_answer("list nodes", code, body)
    assert (failure.kind, failure.status) == (kind, code)
    assert str(failure).startswith(f"cannot list nodes: HTTP {code}: ")
    assert len(str(failure)) < 700


@given(st.integers(), st.binary())
def test_no_answer_breaks_us(code: int, body: bytes) -> None:
    assert "\n" not in str(from_answer("list nodes", code, body))
    assert from_error_event("watch nodes", body).kind


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", b"{}", 7.0),
        (None, b'{"details": {"retryAfterSeconds": 3}}', 3.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", b"{}", None),
        ("-1", b"{}", None),
        ("9" * 5000, b"{}", None),
        (None, b'{"details": {"retryAfterSeconds": -3}}', None),
    ],
)
def test_how_long_to_wait_is_read_where_it_is_said(header: str | None, body: bytes, seconds: float | None) -> None:
    assert from_answer("x", 429, body, header).retry_after == seconds


# --- decoding


@pytest.mark.parametrize("resource", list(TYPES))
def test_every_resource_is_read(resource: Resource) -> None:
    found = {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"}, "surprise": {"deep": [1]}}
    page = Reader(resource).page(json.dumps({"metadata": {"resourceVersion": "9"}, "items": [found]}).encode())
    assert [(type(one), key(one)) for one in page.objects] == [(TYPES[resource], "n/a")]
    event = Reader(resource).event(json.dumps({"type": "ADDED", "object": found}).encode())
    assert (event.kind, event.version, event.object) == ("ADDED", "7", page.objects[0])


@pytest.mark.parametrize(
    "bad",
    [{}, {"metadata": {}}, {"metadata": None}, 7, None, [], {"metadata": {"name": 7}}],
    ids=json.dumps,
)
def test_what_has_no_name_is_left_out_of_a_list_and_ends_a_watch(bad: Any) -> None:
    good = {"metadata": {"name": "a"}}
    page = Reader("nodes").page(json.dumps({"metadata": {}, "items": [bad, good]}).encode())
    assert [key(one) for one in page.objects] == ["a"]
    assert set(page.unreadable) == {"?"}
    with pytest.raises(Garbage):
        Reader("nodes").event(json.dumps({"type": "MODIFIED", "object": bad}).encode())


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = Reader("pods")
    for read in (reader.page, reader.event):
        with suppress(Garbage):
            read(data)


def test_deep_nesting_is_garbage() -> None:
    with pytest.raises(Garbage):
        Reader("pods").event(b'{"type":"ADDED","object":' + b"[" * 100_000)


def test_compact_objects_do_not_hold_their_page() -> None:
    images = b'[{"names":["a"],"sizeBytes":1}]'
    page = b'{"metadata":{"name":"a"},"status":{"images":%s},"rest":"%s"}' % (images, b"x" * 1000)
    node = msgspec.json.decode(page, type=Node)
    assert node.status
    before = node.status.images
    compacted = compact(node)
    assert isinstance(compacted, Node)
    assert compacted.status
    assert bytes(compacted.status.images) == images == bytes(before)
    assert compacted.status.images is not before


# --- requests


def test_requests_are_those_that_rbac_allows() -> None:
    with pytest.raises(ValueError, match="not among the calls"):
        Request("patch", "pods")
    assert Request("patch", "nodes", name="a/b?c").path == "/api/v1/nodes/a%2Fb%3Fc"
    assert Request("list", "resourceclaims").path == "/apis/resource.k8s.io/v1/resourceclaims"
    assert {verb for _, _, verb in CALLS} == {"list", "watch", "patch"}
    assert [call for call in CALLS if call[2] == "patch"] == [("", "nodes", "patch")]


def test_failures_carry_what_callers_decide_by() -> None:
    failure = ApiFailure("list nodes", "forbidden", "no", status=403, retry_after=1.5)
    assert (failure.what, failure.kind, failure.status, failure.retry_after) == ("list nodes", "forbidden", 403, 1.5)
    assert str(failure) == "cannot list nodes: no; apply the RBAC of manifests/base"
