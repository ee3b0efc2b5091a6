"""S3Source against a real S3 server, which checks every signature."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from awscrt.checksums import crc64nvme

from tests.object_store import ObjectStore
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File, Filters
from webhook.hydrator.s3.reader import S3Reader
from webhook.hydrator.s3.settings import settings_from
from webhook.hydrator.s3.source import S3Source

FILES = {
    "config.json": b"{}",
    "a b+c/ü%41~(1)&=?#.bin": b"hello",
    "empty": b"",
    "weights.safetensors": os.urandom(11 << 20),
}


@pytest.fixture(scope="module")
def model(object_store: ObjectStore) -> str:
    """A bucket with a model `m`."""
    bucket = object_store.bucket()
    for name, body in FILES.items():
        object_store.put(bucket, f"models/m/{name}", body, multipart=len(body) > 1 << 20)
    object_store.put(bucket, "models/m2/other", b"is another model's")
    return bucket


@pytest.fixture(params=[False, True], ids=["http", "https"])
def environ(request: pytest.FixtureRequest, object_store: ObjectStore) -> dict[str, str]:
    return object_store.environment(tls=request.param)


def make(name: str, environ: dict[str, str], **flags: object) -> S3Source:
    return S3Source(name, Filters(), settings_from(environ, **flags), environ)


@pytest.fixture
def source(model: str, environ: dict[str, str]) -> Iterator[S3Source]:
    with closing(make(f"s3://{model}/models/m/", environ)) as made:
        yield made


def fetch(reader: S3Reader, file: File, offset: int, length: int, buffer: int = 1 << 20) -> tuple[bytes, int | None]:
    body = reader.open(file, offset, length)
    data = bytearray()
    piece = bytearray(buffer)
    while count := body.readinto(memoryview(piece)):
        data += piece[:count]
    body.close()
    return bytes(data), body.crc64


def test_lists_what_is_there_and_nothing_else(source: S3Source) -> None:
    plan = source.plan()
    assert {file.path: file.size for file in plan.files} == {name: len(body) for name, body in FILES.items()}
    assert plan == source.plan()
    source.prove(plan)


def test_reads_whole_files_with_their_checksum(source: S3Source) -> None:
    plan = source.plan()
    with closing(source.reader()) as reader:
        for file in plan.files:
            body, crc64 = fetch(reader, file, 0, file.size)
            assert body == FILES[file.path]
            if body:
                assert crc64 == crc64nvme(body) == source.stated_crc64(file)


@pytest.mark.parametrize("buffer", [1 << 20, 65_537, 4096])
def test_reads_ranges(source: S3Source, buffer: int) -> None:
    file = next(file for file in source.plan().files if file.size > 1 << 20)
    whole = FILES[file.path]
    with closing(source.reader()) as reader:
        for offset, length in ((0, 1), (1, 8 << 20), ((8 << 20) + 1, file.size - (8 << 20) - 1), (file.size - 1, 1)):
            assert fetch(reader, file, offset, length, buffer) == (whole[offset : offset + length], None)


def test_a_range_left_in_the_middle_does_not_spoil_the_next(source: S3Source) -> None:
    file = next(file for file in source.plan().files if file.size > 1 << 20)
    with closing(source.reader()) as reader:
        for length in (4 << 20, 200_000):  # too much to receive for nothing, and little
            body = reader.open(file, 5, length)
            assert body.readinto(memoryview(bytearray(1000))) == 1000
            body.close()
            assert fetch(reader, file, 7, 9) == (FILES[file.path][7:16], None)


@pytest.mark.parametrize("end", ["", "/", "//"], ids=["bare", "slash", "slashes"])
def test_a_single_object_is_a_model_too(model: str, environ: dict[str, str], end: str) -> None:
    with closing(make(f"s3://{model}/models/m/config.json{end}", environ)) as source:
        plan = source.plan()
        source.prove(plan)
    assert [(file.path, file.size) for file in plan.files] == [("config.json", 2)]


def test_pages_are_put_together(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    names = [f"{number:04}" for number in range(1001)]
    for name in names:
        object_store.put(bucket, f"p/{name}", b"")
    with closing(make(f"s3://{bucket}/p", object_store.environment())) as source:
        assert [file.path for file in source.plan().files] == names


@pytest.mark.parametrize(
    ("name", "changed", "code", "words"),
    [
        ("s3://{}/models/none/", {}, Exit.NOT_FOUND, "neither an object nor a prefix"),
        ("s3://no-such-bucket/m/", {}, Exit.NOT_FOUND, "no bucket 'no-such-bucket'"),
        ("s3://{}/models/m/", {"AWS_SECRET_ACCESS_KEY": "other"}, Exit.DENIED, "does not fit the access key"),
        ("s3://{}/models/m/", {"AWS_ACCESS_KEY_ID": "AKIAOTHER"}, Exit.DENIED, "does not know the access key"),
    ],
    ids=["no-prefix", "no-bucket", "wrong-secret", "unknown-key"],
)
def test_refusals_explain_themselves(
    model: str, object_store: ObjectStore, *, name: str, changed: dict[str, str], code: Exit, words: str
) -> None:
    environ = object_store.environment() | changed
    with closing(make(name.format(model), environ)) as source, pytest.raises(HydrationError, match=words) as caught:
        source.plan()
    assert caught.value.exit_code == code
    assert caught.value.hint


def test_an_object_that_was_replaced_is_not_read(object_store: ObjectStore, environ: dict[str, str]) -> None:
    bucket = object_store.bucket()
    object_store.put(bucket, "m/x", b"before")
    with closing(make(f"s3://{bucket}/m", environ)) as source:
        plan = source.plan()
        object_store.put(bucket, "m/x", b"after!")
        with closing(source.reader()) as reader:
            for length in (3, 6):
                with pytest.raises(HydrationError, match="replaced since it was listed") as caught:
                    reader.open(plan.files[0], 0, length)
                assert caught.value.exit_code == Exit.CHANGED
        with pytest.raises(HydrationError, match="replaced"):
            source.prove(plan)
        object_store.delete(bucket, "m/x")
        with pytest.raises(HydrationError, match="is gone"):
            source.prove(plan)


def test_reads_in_forked_processes(source: S3Source) -> None:
    """Connections and their state are each process's own, credentials come by the slot."""
    plan = source.plan()
    source.prove(plan)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            right = False
            try:
                with closing(source.reader()) as reader:
                    right = all(fetch(reader, file, 0, file.size)[0] == FILES[file.path] for file in plan.files)
            finally:
                os._exit(not right)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
