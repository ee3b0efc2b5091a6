"""Download a prefix with awscrt's own S3 client, O_DIRECT and bounded memory: `crt.py URL BUCKET PREFIX DIRECTORY`.

Environment: CONNECTIONS, PART (bytes), MEMORY (bytes), CA (file, for https). Unsigned, as the bench's server allows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Semaphore
from urllib.parse import quote, urlsplit

from awscrt import io, s3
from awscrt.http import HttpHeaders, HttpRequest

from tests.bench.hydrate.listing import keys

_IN_FLIGHT = 256  # requests known to the client at a time; each has its buffers


def main(url: str, bucket: str, prefix: str, directory: Path) -> None:
    """Download everything below the prefix."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    options = None
    if secure:
        context = io.TlsContextOptions()
        context.override_default_trust_store_from_path(None, os.environ["CA"])
        options = io.ClientTlsContext(context).new_connection_options()
    connections = int(os.environ["CONNECTIONS"])
    client = s3.S3Client(
        region="us-east-1",
        tls_mode=s3.S3RequestTlsMode.ENABLED if secure else s3.S3RequestTlsMode.DISABLED,
        tls_connection_options=options,
        part_size=int(os.environ["PART"]),
        memory_limit=int(os.environ["MEMORY"]),
        throughput_target_gbps=connections / 2.5,
        max_active_connections_override=connections,
        fio_options=s3.S3FileIoOptions(direct_io=True),
    )
    room = Semaphore(_IN_FLIGHT)
    running = []
    for key, _ in keys(url, bucket, prefix):
        path = directory / key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        room.acquire()
        # The port stands in the Host header: that is how the client learns of it.
        headers = HttpHeaders([("Host", parts.netloc)])
        request = HttpRequest("GET", f"/{bucket}/{quote(key)}", headers)
        running.append(
            client.make_request(
                type=s3.S3RequestType.GET_OBJECT,
                request=request,
                recv_filepath=str(path),
                on_done=lambda **_: room.release(),
            )
        )
    for one in running:
        one.finished_future.result()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
