"""A container registry over real TCP, with tokens, and with faults that a test scripts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.scripted_http import Answer, HttpRequest, HttpServer, reply

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "e30.token"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(name: str, size: int) -> dict[str, Any]:
    return {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": digest_of(name.encode()),
        "size": size,
    }


class RegistryServer(HttpServer):
    """`private` repositories want a token, which `login` (USER:PASSWORD in base64) may get; empty: anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.faults: dict[str, Answer] = {}
        self.private: set[str] = set()
        self.login = ""
        self.challenge: str | None = None
        self.seen: list[HttpRequest] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, repository: str, tag: str, layers: Mapping[str, int], *, platforms: int = 1) -> str:
        """Put an image there; with no platforms, a manifest without an index. Returns what the tag names."""
        manifest = json.dumps({"mediaType": MANIFEST, "layers": [layer(*one) for one in layers.items()]}).encode()
        top = manifest
        if platforms:
            entries = [
                {"digest": digest_of(b"other"), "platform": {"os": "unknown", "architecture": "unknown"}},
                {"digest": digest_of(b"arm"), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
                {"digest": digest_of(manifest), "platform": {"os": "linux", "architecture": "amd64"}},
            ]
            top = json.dumps({"mediaType": INDEX, "manifests": entries}).encode()
        for data in (manifest, top):
            self.manifests[repository, digest_of(data)] = data
        self.manifests[repository, tag] = top
        return digest_of(top)

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        self.seen.append(request)
        await reply(writer, self._answer(request))
        return True

    def _answer(self, request: HttpRequest) -> Answer:
        if request.path in self.faults:
            return self.faults[request.path]
        if request.path == "/token":
            return self._token(request)
        repository, _, reference = request.path.removeprefix("/v2/").partition("/manifests/")
        if repository in self.private and request.headers.get("authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{self.host}/token",service="tests",scope="repository:{repository}:pull,push"'
            return Answer(401, b"{}", {"WWW-Authenticate": realm if self.challenge is None else self.challenge})
        data = self.manifests.get((repository, reference))
        if data is None:
            return Answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        return Answer(200, data, {"Docker-Content-Digest": digest_of(data)}, INDEX)

    def _token(self, request: HttpRequest) -> Answer:
        if request.method == "POST":
            is_known = f"refresh_token={self.login}" in request.body.decode()
        else:
            is_known = not self.login or request.headers.get("authorization") == f"Basic {self.login}"
        return Answer(200, json.dumps({"token": TOKEN}).encode()) if is_known else Answer(401, b"{}")


@contextmanager
def served(server: HttpServer) -> Iterator[None]:
    """Serve from a thread of its own while the test goes on."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
