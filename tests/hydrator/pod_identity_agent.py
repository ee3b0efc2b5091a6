"""A stand-in for the EKS Pod Identity agent: keys of so many seconds for whoever shows the token of the file.

What it speaks: "Container credential provider", AWS SDKs and Tools Reference Guide.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATH = "/v1/credentials"


class PodIdentityAgent:
    """What it gives is numbered: AKIAPOD1 with SECRET1 and TOKEN1, then AKIAPOD2 and so on."""

    def __init__(self, token_file: Path) -> None:
        self.url = ""
        self.token_file = token_file
        self.lifetime = 6 * 3600.0
        self.status = 200
        self.served = 0
        self.refused = 0

    @property
    def environment(self) -> dict[str, str]:
        """What EKS puts into the pod, and no other way to credentials."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + PATH,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.token_file),
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(self.token_file.parent),
        }

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        if self.status != 200:
            return self.status, {"message": "scripted"}
        if path != PATH or authorization != self.token_file.read_text():
            self.refused += 1
            return 401, {"message": "who are you?"}
        self.served += 1
        until = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        return 200, {
            "AccessKeyId": f"AKIAPOD{self.served}",
            "SecretAccessKey": f"SECRET{self.served}",
            "Token": f"TOKEN{self.served}",
            "AccountId": "123456789012",
            "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


@contextmanager
def running(directory: Path) -> Iterator[PodIdentityAgent]:
    """Serve on loopback; the token file is made in `directory`."""
    token_file = directory / "eks-pod-identity-token"
    token_file.write_text("a-token-of-the-service-account")
    agent = PodIdentityAgent(token_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = agent.answer(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        agent.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield agent
        finally:
            server.shutdown()
            thread.join()
