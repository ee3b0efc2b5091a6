"""Listing, proving and reading where the server misbehaves, and directory buckets, which are only scripted here."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.fault_store import ACCESS_KEY, SECRET_KEY, FaultStore
from tests.hydrator.scripted_s3 import listing, reply, scripted
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.plan import File, Filters, Plan
from webhook.hydrator.s3.access import Keys
from webhook.hydrator.s3.settings import settings_from
from webhook.hydrator.s3.source import S3Source

BODY = os.urandom(300_000)
STATIC = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "secret"}
TOKEN = "hunter2/hunter2"
ZONAL = "models--use1-az4--x-s3"


@pytest.fixture
def store(fault_store: FaultStore) -> FaultStore:
    fault_store.put("m/a", BODY)
    fault_store.put("m/b/c", b"small")
    return fault_store


def make(environ: dict[str, str], name: str = "s3://models/m/", attempts: int = 3, **flags: Any) -> S3Source:
    settings = settings_from(environ, **flags)._replace(attempts=attempts, stall_seconds=0.4)
    return S3Source(name, Filters(), settings, environ)


def planned(store: FaultStore) -> Plan:
    with closing(make(store.environment())) as source:
        return source.plan()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "answer"},
        {"kind": "answer", "status": 500, "code": "InternalError"},
        {"kind": "close"},
        {"kind": "truncate", "after": 200},
        {"kind": "reset", "after": 200},
        {"kind": "stall", "after": 200},
        {"kind": "raw", "body": b"\x15\x03\x01"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_a_listing_is_asked_for_again(store: FaultStore, fault: dict[str, Any]) -> None:
    store.fault(**fault, operation="LIST", times=2)
    assert [file.path for file in planned(store).files] == ["a", "b/c"]
    assert len(store.asked("LIST")) == 3


def test_a_chunked_listing(store: FaultStore) -> None:
    store.fault("chunked", "LIST", times=0)
    assert len(planned(store).files) == 2


def test_pages(store: FaultStore) -> None:
    store.page(1)
    assert [file.path for file in planned(store).files] == ["a", "b/c"]
    assert len(store.asked("LIST")) == 2


def test_trying_ends(store: FaultStore) -> None:
    store.fault("answer", "LIST", times=0)
    with pytest.raises(HydrationError, match=r"503 SlowDown.*\(3 attempts\)") as caught:
        planned(store)
    assert caught.value.exit_code == Exit.UNREACHABLE
    assert len(store.requests) == 3


def test_retry_after_is_kept_and_people_are_told(store: FaultStore) -> None:
    store.fault("answer", "LIST", headers=(("Retry-After", "1"),))
    before = time.monotonic()
    notes: list[str] = []
    environ = store.environment()
    with closing(S3Source("s3://models/m/", Filters(), settings_from(environ), environ, notes.append)) as source:
        source.plan()
    assert time.monotonic() - before >= 1.0
    assert len(notes) == 1
    assert "503 SlowDown" in notes[0]
    assert "trying again in 1 s (attempt 2 of 10)" in notes[0]


def test_who_may_not_list_may_still_read_an_object(store: FaultStore) -> None:
    store.fault("answer", "LIST", status=403, code="AccessDenied", times=0)
    with closing(make(store.environment(), "s3://models/m/b/c/")) as source:
        plan = source.plan()
        source.prove(plan)
    assert [(file.path, file.name, file.size) for file in plan.files] == [("c", "m/b/c", 5)]


def test_who_may_neither_hears_of_listing(store: FaultStore) -> None:
    store.fault("answer", "", status=403, code="AccessDenied", message="nothing allows it", times=0)
    with pytest.raises(HydrationError) as caught:
        planned(store)
    assert caught.value.exit_code == Exit.DENIED
    assert "no right to s3:ListBucket on arn:aws:s3:::models (prefix 'm/')" in caught.value.message
    assert "the store says AccessDenied: nothing allows it" in caught.value.message


def test_listing_alone_does_not_prove_the_right_to_read(store: FaultStore) -> None:
    with closing(make(store.environment())) as source:
        plan = source.plan()
        store.fault("answer", "GET", status=403, code="AccessDenied", message="kms:Decrypt is not allowed", times=0)
        with pytest.raises(HydrationError, match="kms:Decrypt on the KMS key that encrypts arn:aws:s3:::models/m/a"):
            source.prove(plan)


def test_a_model_of_empty_files_is_proved_too(fault_store: FaultStore) -> None:
    fault_store.put("m/a", b"")
    with closing(make(fault_store.environment())) as source:
        source.prove(source.plan())
        fault_store.fault("answer", "GET", status=403, code="AccessDenied", times=0)
        with pytest.raises(HydrationError, match="s3:GetObject"):
            source.prove(source.plan())


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"kind": "ignore_range"}, Exit.CORRUPT, "all of s3://models/m/a where a range"),
        ({"kind": "shift"}, Exit.CORRUPT, "answers with 'bytes 101-299/300000'"),
        ({"kind": "short", "after": 7}, Exit.CORRUPT, "answers with 'bytes 100-292/300000'"),
        ({"kind": "headers", "headers": (("Content-Range", ""),)}, Exit.CORRUPT, "answers with ''"),
        ({"kind": "chunked"}, Exit.CORRUPT, "announces None bytes"),
        ({"kind": "headers", "headers": (("ETag", '"other"'),)}, Exit.CHANGED, "replaced since it was listed"),
        ({"kind": "answer", "status": 404, "code": "NoSuchKey"}, Exit.CHANGED, "is gone"),
        ({"kind": "answer", "status": 416, "code": "InvalidRange"}, Exit.CHANGED, "replaced"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_ranges_that_are_others(store: FaultStore, fault: dict[str, Any], code: Exit, words: str) -> None:
    with closing(make(store.environment())) as source:
        file = source.plan().files[0]
        store.fault(**fault, operation="GET")
        with closing(source.reader()) as reader:
            with pytest.raises(HydrationError) as caught:
                reader.open(file, 100, 200)
            assert (caught.value.exit_code, words in caught.value.message) == (code, True), caught.value.message
            view = memoryview(bytearray(200))
            body = reader.open(file, 100, 200)  # what was refused does not spoil the next answer
            assert body.readinto(view) == 200
            body.close()
            assert view == BODY[100:300]


def test_a_part_where_all_was_asked_for() -> None:
    with scripted(lambda *_: reply(b"12", 206, content_range="bytes 0-1/3", etag='"e"')) as s3:
        source = make(STATIC | {"AWS_ENDPOINT_URL": s3.url})
        with closing(source), closing(source.reader()) as reader, pytest.raises(HydrationError, match="a part of s3"):
            reader.open(File("x", 3, '"e"', "m/x"), 0, 3)


def test_every_range_is_asked_for_on_condition(store: FaultStore) -> None:
    with closing(make(store.environment(), request_payer=True)) as source:
        plan = source.plan()
        source.prove(plan)
        with closing(source.reader()) as reader:
            reader.open(plan.files[0], 0, 5).close()
            reader.open(plan.files[1], 0, 5).close()
        source.stated_crc64(plan.files[0])
    for request in store.requests:
        assert request.headers["x-amz-request-payer"] == "requester"
        if request.operation != "LIST":
            assert request.headers["if-match"] == next(one.etag for one in plan.files if one.name == request.key)
            assert ("range" in request.headers) != ("x-amz-checksum-mode" in request.headers)


@pytest.mark.parametrize("operation", ["HEAD", "GET"])
def test_refusals_of_a_checksum_have_words_though_head_has_no_body(store: FaultStore, operation: str) -> None:
    with closing(make(store.environment())) as source:
        file = source.plan().files[0]
        store.fault("answer", "HEAD", status=403, code="AccessDenied", times=0)
        if operation == "GET":
            store.fault("answer", "GET", status=403, code="RequestTimeTooSkewed", times=0)
        with pytest.raises(HydrationError, match="clocks" if operation == "GET" else "s3:GetObject"):
            source.stated_crc64(file)
        store.mend()
        store.delete("m/a")
        with pytest.raises(HydrationError, match="is gone"):
            source.stated_crc64(file)
        store.fault("answer", "HEAD", times=0)
        with pytest.raises(Transient):
            source.stated_crc64(file)


def endless(number: int, _: str) -> bytes:
    return listing((f"m/{number}", 1), token="again")


def huge(*_: object) -> bytes:
    return reply(b"<ListBucketResult>" + b" " * (17 << 20))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (endless, "it repeats itself"),
        (huge, "longer than 16 MiB"),
        (lambda *_: listing(("other/x", 1)), "'other/x' is not below 'm/'"),
        (lambda *_: reply(b"<html>Please log in</html>"), "the root element is 'html'"),
        (lambda *_: reply(b"", 200), "no element found"),
        (lambda *_: listing(("m/x%0d%0ay", 1), etag="x&#10;y"), "the ETag of"),
    ],
    ids=["endless", "huge", "elsewhere", "html", "empty", "etag"],
)
def test_what_is_no_listing(answers: Callable[[int, str], bytes], words: str) -> None:
    with scripted(answers) as s3:
        with closing(make(STATIC | {"AWS_ENDPOINT_URL": s3.url})) as source, pytest.raises(HydrationError) as caught:
            source.plan()
        assert len(s3.heads) <= 3
    assert caught.value.exit_code == Exit.UNREACHABLE
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("etag", ["", '"a b"', '"x"y"'])
def test_a_single_object_with_a_hostile_tag(etag: str) -> None:
    answers = {"G": listing(), "H": reply(b"", etag=etag)}
    with (
        scripted(lambda _, head: answers[head[0]]) as s3,
        closing(make(STATIC | {"AWS_ENDPOINT_URL": s3.url})) as source,
        pytest.raises(HydrationError, match="the ETag of"),
    ):
        source.plan()


def test_a_directory_bucket_is_read_in_a_session(store: FaultStore) -> None:
    store.buckets(ZONAL)
    store.sessions(3.0)
    with closing(make(store.environment(), f"s3://{ZONAL}/m/")) as source:
        plan = source.plan()
        source.prove(plan)
        session, *others = store.requests
        assert (session.operation, session.headers["x-amz-create-session-mode"]) == ("SESSION", "ReadOnly")
        assert f"Credential={ACCESS_KEY}/" in session.headers["authorization"]
        assert [request.operation for request in others] == ["LIST", "GET"]
        for request in others:
            assert request.headers["x-amz-s3session-token"] == "faultsession"
            assert "Credential=ASIASESSION/" in request.headers["authorization"]
            assert "/s3express/aws4_request" in request.headers["authorization"]
            assert "x-amz-security-token" not in request.headers
        before = source._access.slot.stamp()
        deadline = time.monotonic() + 20
        while source._access.slot.stamp() == before:  # it is renewed before it ends
            assert time.monotonic() < deadline
            source.tend()
            time.sleep(0.05)
        known = Keys(source._access.slot).current()
        assert known is not None
        assert known.expires > time.time()


def test_a_session_that_is_refused_while_planning_is_made_anew(store: FaultStore) -> None:
    store.buckets(ZONAL)
    store.fault("answer", "LIST", status=400, code="ExpiredToken")
    store.fault("answer", "SESSION", start=2)  # SlowDown
    with closing(make(store.environment(), f"s3://{ZONAL}/m/")) as source:
        assert len(source.plan().files) == 2
    assert len(store.asked("SESSION")) == 3


def test_a_session_that_is_not_given(store: FaultStore) -> None:
    store.buckets(ZONAL)
    store.fault("answer", "SESSION", status=403, code="AccessDenied", times=0)
    with closing(make(store.environment(), f"s3://{ZONAL}/m/")) as source, pytest.raises(HydrationError) as caught:
        source.plan()
    action = f"s3express:CreateSession on arn:aws:s3express:us-east-1:*:bucket/{ZONAL}"
    assert caught.value.exit_code == Exit.DENIED
    assert action in caught.value.message


def test_no_failure_shows_a_secret(store: FaultStore) -> None:
    """Every way to fail, with a server that repeats what it was sent as some do, and all that Python would print."""
    environ = store.environment() | {"AWS_SESSION_TOKEN": TOKEN}
    told: list[str] = []

    def note(act: Callable[..., object], *arguments: object) -> None:
        try:
            act(*arguments)
        except (HydrationError, Transient) as caught:
            text = "".join(traceback.format_exception(caught))
            told.append(f"{text} {caught!r} {caught.message} {getattr(caught, 'hint', '')} {vars(caught)!r}")

    headers = (("location", f"https://h/{SECRET_KEY}?X-Amz-Signature=hunter2/hunter2"), ("etag", f'"{SECRET_KEY}"'))
    codes = [
        *(
            (403, code)
            for code in ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidObjectState")
        ),
        *((403, code) for code in ("RequestTimeTooSkewed", "Unheard")),
        *((400, code) for code in ("ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "KMS.Disabled")),
        *((404, code) for code in ("NoSuchBucket", "NoSuchKey")),
        *((status, "Code") for status in (301, 307, 405, 412, 416, 429, 500, 501, 503)),
    ]
    store.buckets("models", ZONAL)
    for name, known in (("models", f"{ACCESS_KEY} {SECRET_KEY} {TOKEN}"), (ZONAL, "ASIASESSION faultsession")):
        source = make(environ, f"s3://{name}/m/", attempts=1)
        file, *_ = source.plan().files
        plan = source.plan()
        kinds: list[dict[str, Any]] = [
            {"kind": "answer", "status": status, "code": code + known, "message": known, "headers": headers}
            for status, code in codes
        ]
        kinds += [kind | {"code": code} for kind, (_, code) in zip(kinds, codes, strict=True)]
        kinds += [{"kind": "raw", "body": known.encode()}, {"kind": "close"}, {"kind": "ignore_range"}]
        kinds += [{"kind": "headers", "headers": headers}, {"kind": "chunked"}]
        for kind in kinds:
            store.fault(**kind, operation="", times=0)
            with closing(source.reader()) as reader:
                note(source.plan)
                note(source.prove, plan)
                note(source.stated_crc64, file)
                note(reader.open, file, 0, 5)
                note(reader.open, file, 0, file.size)
            store.mend()
        store.fault("answer", "SESSION", status=403, code="AccessDenied", message=f"{ACCESS_KEY} {TOKEN}")
        note(source._access.renew)
        store.mend()
        source.close()
    assert len(told) > 400
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN, "AWS4-HMAC", "Signature=", "ASIASESSION", "faultsession"):
        assert not [text for text in told if secret in text]
