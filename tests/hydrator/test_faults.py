"""What goes wrong between a store and a node, end to end through the real command.

Every fault ends in the very bytes that were stored, or in the documented exit code, words that say what to do, and
nothing that a pod could mistake for a model.
"""

from __future__ import annotations

import random
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.fault_store import SECRET_KEY, Certificate, FaultStore, Kind, Operation
from tests.hydrator.hydrate_process import COMMAND, Ended, Node
from webhook.hydrator.outcome import Exit

MIB = 1 << 20
WEIGHTS = "m/weights.safetensors"
RANGE = 8 * MIB  # of a file of this size
MODEL = {
    WEIGHTS: random.Random(1).randbytes(RANGE + MIB + 123),  # two ranges
    "m/config.json": b'{"layers": 32}',
    "m/tokenizer/vocabulary.txt": random.Random(2).randbytes(300_000),
}
FILES = {key.removeprefix("m/"): body for key, body in MODEL.items()}
OTHER = random.Random(3).randbytes(RANGE + MIB + 123)
SOURCE = "s3://models/m/"
DIRECTORY = "00000000000000aa"

# The command with less patience: nobody waits 20 seconds for a test.
HASTY = (
    COMMAND[0],
    "-c",
    """
from webhook.hydrator.s3.settings import Settings
Settings.__new__.__defaults__ = tuple((Settings._field_defaults | {"stall_seconds": 0.2, "attempts": 2}).values())
from webhook.cli.start import main
main()
""",
    "hydrate",
)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def store(fault_store: FaultStore) -> FaultStore:
    for key, body in MODEL.items():
        fault_store.put(key, body)
    return fault_store


def hydrate(node: Node, store: FaultStore, *given: str, hasty: bool = False, **environment: str) -> Ended:
    """A run with one connection, which asks for one thing after the other."""
    model = node.model(SOURCE, directory=DIRECTORY, keepFree="0")
    given = (model, "--processes=1", "--connections=1", *given)
    command = HASTY if hasty else COMMAND
    ended = node.ended(node.start(*given, env=store.environment() | environment, command=command))
    assert SECRET_KEY not in ended.stderr + ended.stdout + node.log.read_text()
    assert "Traceback" not in ended.stderr
    return ended


def brought(node: Node, ended: Ended, files: dict[str, bytes] | None = None) -> None:
    assert ended.code == 0, ended.stderr
    assert ended.message["result"] == "downloaded"
    assert node.tree(DIRECTORY) == (FILES if files is None else files)


def nothing(node: Node, ended: Ended, code: Exit, *words: str) -> None:
    """It failed as documented, and left nothing that could be taken for a model."""
    assert ended.code == code, ended.stderr
    assert (ended.message["result"], bool(ended.message["message"])) == ("error", True)
    assert "hint: " in ended.stderr
    for word in words:
        assert word in ended.stderr
    assert not (node.cache / DIRECTORY / "current").exists()
    assert not list((node.cache / DIRECTORY).glob("versions/*"))


BREAKS = [
    {"kind": "truncate", "after": 3 * MIB, "start": 2, "times": 3},
    {"kind": "truncate", "after": 0, "start": 5, "times": 2},
    {"kind": "reset", "after": 12_345, "start": 7, "times": 2},
    {"kind": "close", "start": 9},
]
REFUSALS = [
    {"kind": "answer", "start": 2, "times": 7},
    {"kind": "answer", "start": 9, "times": 2, "status": 500, "body": b""},
    {"kind": "answer", "start": 11, "status": 429, "code": "TooManyRequests"},
    {"kind": "answer", "operation": "HEAD", "times": 2},
]
LISTINGS = [
    {"kind": "answer", "operation": "LIST"},
    {"kind": "truncate", "operation": "LIST", "after": 100, "start": 2},
    {"kind": "reset", "operation": "LIST", "after": 200, "start": 3},
    {"kind": "close", "operation": "LIST", "start": 4},
]
GARBAGE = [
    {"kind": "raw", "body": b"SSH-2.0-OpenSSH_9\r\n\r\n"},
    {"kind": "raw", "body": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "start": 3},
    {"kind": "raw", "body": b"\0" * 100, "start": 4},
]
FLIPS = [
    {"kind": "flip", "after": RANGE + 77, "covering": RANGE + 77},
    {"kind": "flip", "key": "m/config.json", "after": 5, "covering": 5},
]
TERSE = [
    {"kind": "headers", "headers": (("Connection", "close"), ("Date", ""), ("Server", "")), "times": 0},
]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(BREAKS, id="broken off"),
        pytest.param(REFUSALS, id="refused"),
        pytest.param(LISTINGS, id="listing"),
        pytest.param(GARBAGE, id="garbage"),
        pytest.param(FLIPS, id="a byte flipped once"),
        pytest.param(TERSE, id="no keep-alive and few headers"),
    ],
)
def test_retried_until_every_byte_is_there(node: Node, store: FaultStore, faults: list[dict[str, Any]]) -> None:
    for fault in faults:
        store.fault(**fault)
    ended = hydrate(node, store, "--processes=2", "--connections=4")
    brought(node, ended)
    assert ended.message["verified_bytes"] == sum(map(len, FILES.values()))


@pytest.mark.parametrize(
    ("operation", "kind"), [("GET", "stall"), ("GET", "hang"), ("LIST", "stall"), ("LIST", "hang")]
)
def test_silence_is_given_up_and_tried_again(node: Node, store: FaultStore, operation: Operation, kind: Kind) -> None:
    covering = {"covering": 1} if operation == "GET" else {}
    store.fault(kind, operation, after=100, **covering)
    brought(node, hydrate(node, store, hasty=True))


def test_a_store_that_asks_for_time_gets_it(node: Node, store: FaultStore) -> None:
    store.fault("answer", headers=(("Retry-After", "1"),), covering=1)
    began = time.monotonic()
    brought(node, hydrate(node, store))
    assert time.monotonic() - began > 1


def test_what_came_before_a_break_is_not_asked_for_again(node: Node, store: FaultStore) -> None:
    store.fault("truncate", key=WEIGHTS, covering=MIB, after=5 * MIB + 77)
    ended = hydrate(node, store)
    brought(node, ended)
    ranges = [request for request in store.asked("GET") if request.key == WEIGHTS and request.stop - request.first > 1]
    assert sorted(request.first for request in ranges) == [0, 5 * MIB + 77, RANGE]
    assert ended.message["retries"] == 1
    assert all(request.headers["if-match"] for request in store.asked("GET"))


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        pytest.param(
            {"kind": "swap", "after": MIB, "body": OTHER}, Exit.CHANGED, ["replaced", "run again"],
            id="replaced while it is read",
        ),
        pytest.param(
            {"kind": "mix", "after": MIB, "body": OTHER}, Exit.CHANGED, ["replaced"], id="replaced within an answer",
        ),
        pytest.param(
            {"kind": "answer", "status": 404, "code": "NoSuchKey"}, Exit.CHANGED, ["is gone"],
            id="deleted while it is read",
        ),
        pytest.param(
            {"kind": "headers", "headers": (("ETag", '"other"'),)}, Exit.CHANGED, ["replaced"],
            id="another ETag although If-Match",
        ),
        pytest.param({"kind": "ignore_range"}, Exit.CORRUPT, ["range"], id="Range ignored"),
        pytest.param({"kind": "shift"}, Exit.CORRUPT, ["bytes "], id="another range"),
        pytest.param({"kind": "short", "after": 9}, Exit.CORRUPT, ["bytes "], id="a shorter range"),
        pytest.param({"kind": "chunked"}, Exit.CORRUPT, [], id="no length"),
        pytest.param(
            {"kind": "headers", "headers": (("Content-Length", "5"),)}, Exit.CORRUPT, ["announces 5 bytes"],
            id="another length",
        ),
        pytest.param(
            {"kind": "flip", "after": MIB, "times": 0}, Exit.CORRUPT, ["CRC64NVME", "weights"],
            id="a byte flipped always",
        ),
        pytest.param(
            {"kind": "answer", "status": 403, "code": "AccessDenied", "message": "Access Denied"}, Exit.DENIED,
            ["s3:GetObject", "arn:aws:s3:::models/m/weights"], id="denied",
        ),
        pytest.param(
            {"kind": "answer", "status": 400, "code": "KMS.DisabledException", "message": "key is disabled"},
            Exit.DENIED, ["kms:Decrypt", "key is disabled"], id="key disabled",
        ),
        pytest.param(
            {"kind": "answer", "status": 403, "code": "InvalidObjectState"}, Exit.DENIED, ["archived"], id="archived",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_publishes_nothing(
    node: Node, store: FaultStore, fault: dict[str, Any], code: Exit, words: list[str]
) -> None:
    store.fault(**{"key": WEIGHTS, "covering": MIB, **fault})
    nothing(node, hydrate(node, store), code, *words)
    if fault["kind"] in {"mix", "flip"}:  # the next run is none the worse for it
        store.mend()
        brought(node, hydrate(node, store), FILES | ({"weights.safetensors": OTHER} if fault["kind"] == "mix" else {}))


def test_who_may_list_may_not_read(node: Node, store: FaultStore) -> None:
    store.fault("answer", status=403, code="AccessDenied", times=0)
    nothing(node, hydrate(node, store), Exit.DENIED, "s3:GetObject", "arn:aws:s3:::models/m/")
    assert len(store.asked("GET")) == 1
    assert not list((node.cache / DIRECTORY).glob("staging/*"))


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        pytest.param(
            {"status": 403, "code": "AccessDenied", "message": "no identity-based policy allows it"}, Exit.DENIED,
            ["s3:ListBucket", "arn:aws:s3:::models", "no identity-based policy allows it"], id="may not list",
        ),
        pytest.param(
            {"status": 403, "code": "RequestTimeTooSkewed", "headers": (("Date", "ahead"),)}, Exit.DENIED,
            ["clock", "behind"], id="clock",
        ),
        pytest.param({"status": 403, "code": "SignatureDoesNotMatch"}, Exit.DENIED, ["secret key"], id="secret"),
        pytest.param({"status": 403, "code": "InvalidAccessKeyId"}, Exit.DENIED, ["access key"], id="access key"),
        pytest.param({"status": 400, "code": "ExpiredToken"}, Exit.DENIED, ["expired"], id="expired token"),
        pytest.param({"status": 404, "code": "NoSuchBucket"}, Exit.NOT_FOUND, ["'models'"], id="no bucket"),
        pytest.param(
            {"status": 301, "code": "PermanentRedirect", "headers": (("x-amz-bucket-region", "eu-west-3"),)},
            Exit.UNREACHABLE, ["AWS_REGION=eu-west-3"], id="another region",
        ),
        pytest.param({"status": 503}, Exit.UNREACHABLE, ["SlowDown"], id="503 for ever"),
        pytest.param({"status": 501, "code": "NotImplemented"}, Exit.UNREACHABLE, ["--endpoint-url"], id="no S3"),
        pytest.param({"status": 200, "body": b"<html><p>Log in"}, Exit.UNREACHABLE, [], id="a login page"),
        pytest.param(
            {"status": 200, "body": b'<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>'},
            Exit.UNREACHABLE, [], id="entities",
        ),
        pytest.param(
            {"status": 200, "body": b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"},
            Exit.NOT_FOUND, ["neither an object"], id="empty",
        ),
    ],
)  # fmt: skip
def test_a_listing_that_is_refused(
    node: Node, store: FaultStore, fault: dict[str, Any], code: Exit, words: list[str]
) -> None:
    ahead = formatdate(time.time() + 7200, usegmt=True)
    headers = tuple((name, ahead if value == "ahead" else value) for name, value in fault.get("headers", ()))
    store.fault("answer", "LIST", **{"times": 0, **fault, "headers": headers})
    if code is Exit.NOT_FOUND and fault["status"] == 200:
        store.fault("answer", "HEAD", status=404, times=0)
    if code is Exit.DENIED:
        store.fault("answer", "HEAD", times=0, **{**fault, "headers": headers})
    nothing(node, hydrate(node, store, hasty=True), code, *words)


def test_no_redirect_is_followed_to_another_host(node: Node, store: FaultStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.setblocking(False)
        location = f"http://127.0.0.1:{stranger.getsockname()[1]}/models/m/?X-Amz-Signature=abc"
        store.fault("answer", "", status=307, code="TemporaryRedirect", headers=(("Location", location),), times=0)
        ended = hydrate(node, store)
        nothing(node, ended, Exit.UNREACHABLE, location.partition("?")[0])
        assert "X-Amz-Signature" not in ended.stderr
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.parametrize("key", [WEIGHTS, "m/config.json"], ids=["in ranges", "in one piece"])
def test_a_checksum_that_the_bytes_do_not_have(node: Node, store: FaultStore, key: str) -> None:
    store.put(key, MODEL[key], crc64=12345)
    nothing(node, hydrate(node, store), Exit.CORRUPT, "CRC64NVME", key.removeprefix("m/"))


@pytest.mark.parametrize("stated", [None, "half"], ids=["states none", "states it of some"])
def test_a_store_without_checksums_is_believed_and_says_so(node: Node, store: FaultStore, stated: str | None) -> None:
    store.put(WEIGHTS, MODEL[WEIGHTS], crc64=None)
    if stated is None:
        for key, body in MODEL.items():
            store.put(key, body, crc64=None)
    ended = hydrate(node, store)
    brought(node, ended)
    small = sum(len(body) for key, body in MODEL.items() if key != WEIGHTS)
    assert ended.message.get("verified_bytes", 0) == (0 if stated is None else small)


@pytest.mark.parametrize(
    ("certificate", "word"),
    [("good", ""), ("expired", "expired"), ("wrong-host", "127.0.0.1"), ("stranger", "unknown")],
)
def test_certificates(node: Node, store: FaultStore, certificate: Certificate, word: str) -> None:
    if not word:
        store.fault("truncate", covering=1, after=MIB, times=2)
    ended = hydrate(node, store, hasty=True, **store.environment(tls=True, certificate=certificate))
    if word:
        nothing(node, ended, Exit.UNREACHABLE, word)
        assert not store.requests
    else:
        brought(node, ended)


@pytest.mark.parametrize("tls", [True, False], ids=["TLS to plain HTTP", "plain HTTP to TLS"])
def test_the_other_protocol(node: Node, store: FaultStore, tls: bool) -> None:
    url = store.url.replace("http:", "https:") if tls else store.tls_url().replace("https:", "http:")
    ended = hydrate(node, store, hasty=True, AWS_ENDPOINT_URL_S3=url)
    nothing(node, ended, Exit.UNREACHABLE, url.partition("//")[2])
    assert not store.requests


def test_nobody_listens(node: Node, store: FaultStore) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{held.getsockname()[1]}"
        ended = hydrate(node, store, hasty=True, AWS_ENDPOINT_URL_S3=f"http://{place}")
        nothing(node, ended, Exit.UNREACHABLE, place)
