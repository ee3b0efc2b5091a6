"""The faults are what they are called, seen by a client that believes everything."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Any

import pytest
from awscrt.checksums import crc64nvme

from tests.fault_store import BUCKET, Certificate, FaultStore

BODY = bytes(range(256)) * 4096
KEY = "m/weights"


@contextmanager
def connected(store: FaultStore) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(store.url.removeprefix("http://"), timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def get(connection: http.client.HTTPConnection, **headers: str) -> tuple[int, Message[str, str], bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", f"/{BUCKET}/{KEY}", headers=names)
    answer = connection.getresponse()
    try:
        body = answer.read()
    except http.client.IncompleteRead as error:
        body = error.partial
        connection.close()
    return answer.status, answer.headers, body


def test_without_faults_it_answers_as_s3_does(fault_store: FaultStore) -> None:
    etag = fault_store.put(KEY, BODY)
    fault_store.put("m/ü &<", b"")
    with connected(fault_store) as connection:
        status, headers, body = get(connection, x_amz_checksum_mode="ENABLED")
        assert (status, headers["ETag"], body) == (200, etag, BODY)
        assert base64.b64decode(headers["x-amz-checksum-crc64nvme"]) == crc64nvme(BODY).to_bytes(8)
        status, headers, body = get(connection, Range="bytes=10-19", If_Match=etag)
        assert (status, headers["Content-Range"], body) == (206, f"bytes 10-19/{len(BODY)}", BODY[10:20])
        assert get(connection, If_Match='"other"')[0] == 412
        assert get(connection, Range=f"bytes={len(BODY)}-")[0] == 416
        fault_store.page(1)
        connection.request("GET", f"/{BUCKET}?list-type=2&prefix=m%2F&encoding-type=url")
        page = connection.getresponse().read()
        assert b"<Key>m/weights</Key>" in page
        assert b"<IsTruncated>true</IsTruncated><NextContinuationToken>m/weights</Next" in page
        connection.request("GET", f"/{BUCKET}?list-type=2&prefix=m%2F&encoding-type=url&continuation-token=m/weights")
        assert b"<Key>m/%C3%BC%20%26%3C</Key>" in connection.getresponse().read()
        connection.request("HEAD", f"/{BUCKET}/{KEY}")
        answer = connection.getresponse()
        assert (answer.headers["Content-Length"], answer.read()) == (str(len(BODY)), b"")
    assert [request.operation for request in fault_store.requests] == [*["GET"] * 4, "LIST", "LIST", "HEAD"]
    assert {request.connection for request in fault_store.requests} == {1}
    assert (fault_store.requests[1].first, fault_store.requests[1].stop) == (10, 20)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param({"kind": "answer"}, (503, None), id="503"),
        pytest.param({"kind": "answer", "status": 400, "body": b"x" * 10}, (400, b"x" * 10), id="own body"),
        pytest.param({"kind": "headers", "headers": (("ETag", '"lie"'),)}, (206, BODY[100:1100]), id="headers"),
        pytest.param({"kind": "truncate", "after": 10}, (206, BODY[100:110]), id="truncate"),
        pytest.param({"kind": "flip", "after": 100}, (206, b"e" + BODY[101:1100]), id="flip"),
        pytest.param({"kind": "flip", "after": 99}, (206, BODY[100:1100]), id="flip elsewhere"),
        pytest.param({"kind": "mix", "after": 5, "body": b"n" * 9999}, (206, BODY[100:105] + b"n" * 995), id="mix"),
        pytest.param({"kind": "swap", "after": 5, "body": b"n" * 9999}, (206, BODY[100:1100]), id="swap"),
        pytest.param({"kind": "ignore_range"}, (200, BODY), id="ignore range"),
        pytest.param({"kind": "shift"}, (206, BODY[101:1100]), id="shift"),
        pytest.param({"kind": "short", "after": 3}, (206, BODY[100:1097]), id="short"),
        pytest.param({"kind": "chunked"}, (206, BODY[100:1100]), id="chunked"),
        pytest.param({"kind": "slow", "rate": 1e6}, (206, BODY[100:1100]), id="slow"),
        pytest.param({"kind": "delay", "seconds": 0.01}, (206, BODY[100:1100]), id="delay"),
        pytest.param({"kind": "reset", "after": 10}, ConnectionResetError, id="reset"),
        pytest.param({"kind": "stall", "after": 10, "seconds": 0.1}, (206, BODY[100:110]), id="stall"),
        pytest.param({"kind": "hang", "seconds": 0.1}, http.client.RemoteDisconnected, id="hang"),
        pytest.param({"kind": "close"}, http.client.RemoteDisconnected, id="close"),
        pytest.param({"kind": "raw", "body": b"GARBAGE\r\n\r\n"}, http.client.BadStatusLine, id="raw"),
    ],
)
def test_a_fault(fault_store: FaultStore, fault: dict[str, Any], expected: Any) -> None:
    fault_store.put(KEY, BODY)
    fault_store.fault(**fault, start=2)
    with connected(fault_store) as connection:
        for number in (1, 2, 3):
            if number == 2 and isinstance(expected, type):
                with pytest.raises(expected):
                    get(connection, Range="bytes=100-1099")
                connection.close()
                continue
            status, _, body = get(connection, Range="bytes=100-1099")
            wanted = (206, BODY[100:1100]) if number == 1 else expected
            if number == 2:
                assert (status, body if wanted[1] is not None else None) == wanted
            elif number == 1 or fault["kind"] not in {"mix", "swap"}:
                assert (status, body) == (206, BODY[100:1100])
            else:
                assert (status, body) == (206, b"n" * 1000)


def test_if_match_may_be_ignored(fault_store: FaultStore) -> None:
    fault_store.put(KEY, BODY)
    fault_store.fault("ignore_match", times=0)
    with connected(fault_store) as connection:
        assert get(connection, If_Match='"other"')[0] == 200


@pytest.mark.parametrize(
    ("certificate", "complaint"),
    [("good", ""), ("expired", "expired"), ("wrong-host", "mismatch"), ("stranger", "unable to get local issuer")],
)
def test_tls(fault_store: FaultStore, certificate: Certificate, complaint: str) -> None:
    fault_store.put(KEY, BODY)
    context = ssl.create_default_context(cafile=fault_store.ca)
    address = fault_store.tls_url(certificate).removeprefix("https://")
    connection = http.client.HTTPSConnection(address, timeout=60, context=context)
    if complaint:
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            get(connection)
    else:
        assert get(connection)[2] == BODY
        fault_store.fault("stall", after=10, seconds=0.1)
        assert get(connection)[2] == BODY[:10]
    connection.close()
