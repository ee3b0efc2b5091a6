"""The store of the tests is what S3 is in the points that tests rely on."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from awscrt.checksums import crc64nvme

from tests.object_store import PART_BYTES, ObjectStore, Refused, remove_sockets

ROOT = Path(__file__).parents[2]
BODY = os.urandom(PART_BYTES + 12345)


@pytest.mark.parametrize("multipart", [False, True], ids=["one put", "in parts"])
@pytest.mark.parametrize("key", ["model/weights.bin", "a b+c&d=e/ü%20'(x)~"], ids=["plain", "hostile"])
def test_it_keeps_bytes_with_their_full_checksum(object_store: ObjectStore, key: str, multipart: bool) -> None:
    bucket = object_store.bucket()
    etag = object_store.put(bucket, key, BODY, multipart=multipart)
    target = f"/{bucket}/{quote(key, safe='/~')}"
    answer = object_store.request("GET", target, headers={"x-amz-checksum-mode": "ENABLED"})
    assert answer.body == BODY
    assert answer.headers["etag"] == etag
    assert base64.b64decode(answer.headers["x-amz-checksum-crc64nvme"]) == crc64nvme(BODY).to_bytes(8)
    # SeaweedFS says so only of what was put in parts; CRC64NVME knows no other type.
    assert answer.headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT"
    part = object_store.request("GET", target, headers={"Range": "bytes=5-9", "If-Match": etag})
    assert (part.status, part.body) == (206, BODY[5:10])
    with pytest.raises(Refused, match="412"):
        object_store.request("GET", target, headers={"If-Match": '"other"'})
    object_store.delete(bucket, key)
    with pytest.raises(Refused, match="404"):
        object_store.request("GET", target)


def test_it_refuses_a_wrong_signature_and_none(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    object_store.put(bucket, "k", b"v")
    for authorization in (None, f"AWS4-HMAC-SHA256 Credential={object_store.access_key}/x"):
        connection = http.client.HTTPConnection(object_store.url.removeprefix("http://"))
        connection.request("GET", f"/{bucket}/k", headers={"Authorization": authorization} if authorization else {})
        assert connection.getresponse().status in {400, 403}
        connection.close()


def test_no_server_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.object_store", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT, process_group=0) as parent:
        assert eventually(lambda: bool(servers(tmp_path)))
        ports = re.findall(r"\.(?:port|grpc)=(\d+)", " ".join(servers(tmp_path)))
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not servers(tmp_path))
    for port in ports:
        remove_sockets(int(port))


def servers(directory: Path) -> list[str]:
    """Command lines of the servers that keep their data there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
            ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if f"-dir={directory}" in line and not ended:
            found.append(line)
    return found


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
