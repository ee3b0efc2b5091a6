"""Requests over the `kubernetes` client's connections and credentials; answers stay bytes.

Import this within functions: the client takes more than a second.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import time
import weakref
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.rest import RESTClientObject

from webhook import __version__
from webhook.sources.kube_api.credentials import Credentials, NoCluster
from webhook.sources.kube_api.failure import ApiFailure, from_answer, shown
from webhook.sources.kube_api.request import Sendable

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
"""How long an answer may take, to its last byte; a watch's has no end."""

RENEWAL_SECONDS = 5.0
"""Credentials that were refused are not read anew more often: an exec plugin may be expensive."""

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""A peer that is gone without a word is noticed within a minute. The kernel's defaults take two hours."""

_FOLLOWED = ("host", "api_key", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "tls_server_name", "proxy")


class Stream:
    """The body of an answer, as it comes."""

    def __init__(self, what: str, response: aiohttp.ClientResponse) -> None:
        self._what = what
        self._response = response

    async def read(self, seconds: float) -> bytes:
        """Some bytes; b"" at the orderly end. Raises `ApiFailure`: "timeout" after `seconds` in silence."""
        try:
            async with asyncio.timeout(seconds):
                return await self._response.content.readany()
        except TimeoutError:
            raise ApiFailure(self._what, "timeout", f"no word for {seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ApiFailure(self._what, "unreachable", f"the connection broke: {_reason(error)}") from error

    def close(self) -> None:
        """Drop the connection."""
        _drop(self._response)


class Transport:
    """A client whose credentials renew themselves: before they expire, and when they are refused."""

    def __init__(self, credentials: Credentials, connections: _Connections, seconds: float | None) -> None:
        self.client = ApiClient(connections.configuration)
        self.client.rest_client = self._connections = connections
        self.client.user_agent = f"warmpod/{__version__}"
        self._credentials = credentials
        self._lock = asyncio.Lock()
        self._generation = 0
        self._renewed = float("-inf")
        self._material = _material(connections.configuration)
        self.clock_skew: float | None = None
        """How many seconds our clock is ahead of the API server's, by its last answer; it tells whole seconds."""
        self._set_expiry(seconds)
        # Asked before each request, also of those who use `client` without us.
        connections.configuration.refresh_api_key_hook = self._refresh

    @classmethod
    async def open(cls, credentials: Credentials) -> Transport:
        """Load credentials; makes no request yet. Raises `NoCluster`."""
        loaded = await credentials.load()
        configuration = loaded.configuration
        # Authorities of clusters that were created years ago lack what Python 3.13 began to ask for (EKS: an
        # authority key identifier).
        configuration.disable_strict_ssl_verification = True
        try:
            return cls(credentials, _Connections(configuration), loaded.seconds)
        except (OSError, ValueError) as error:
            raise NoCluster(f"the certificates of {credentials} cannot be used: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def call(self, request: Sendable) -> bytes:
        """The body of the answer. Raises `ApiFailure`."""
        limit = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        response = await self._answer(request, limit)
        try:
            return await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(request.what, error) from error
        finally:
            _drop(response)

    async def stream(self, request: Sendable) -> Stream:
        """The body of the answer as it comes; close it. Raises `ApiFailure`."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._answer(request, limit)
        except TimeoutError as error:
            raise self._failure(request.what, error) from error
        return Stream(request.what, response)

    async def _answer(self, request: Sendable, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """The answer of a status below 300, its body unread. Refused credentials are renewed and tried once more."""
        while True:
            generation = self._generation
            response = await self._send(request, limit)
            self.clock_skew = _skew(response.headers.get("Date"), self.clock_skew)
            if response.status < 300 and "json" in response.headers.get("Content-Type", ""):
                return response
            try:
                text = await response.content.read(64 * 1024)
            except (aiohttp.ClientError, OSError) as error:
                raise self._failure(request.what, error) from error
            finally:
                _drop(response)
            if response.status < 300:
                said = shown(text.decode("utf-8", "replace"))
                raise ApiFailure(request.what, "garbage", f"{self._host} answers with something else than JSON: {said}")
            failure = from_answer(request.what, response.status, text, response.headers.get("Retry-After"))
            if failure.kind != "unauthorized" or not await self.renew(generation):
                raise failure

    async def send(self, request: Sendable, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """One attempt; the answer, of whatever status, unread. Raises what the connection does, ValueError among it."""
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            # Compression would cost the API server and us more than the bytes cost the network of one cluster.
            "Accept-Encoding": "identity",
        }
        serialized = await self.client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params=headers,
            body=request.body,
            auth_settings=["BearerToken"],
        )
        answer = await self.client.call_api(*serialized, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _send(self, request: Sendable, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        generation = self._generation
        try:
            return await self.send(request, limit)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                await self.renew(generation)  # the authority may have been replaced
            raise self._failure(request.what, error) from error

    async def renew(self, generation: int) -> bool:
        """Read the credentials anew, unless somebody did since `generation`. True when another try is worth it."""
        async with self._lock:
            if generation != self._generation:
                return True
            if time.monotonic() < self._renewed + RENEWAL_SECONDS:
                return False
            self._renewed = time.monotonic()
            try:
                await self._reload()
            except NoCluster:
                return False  # what the API server said of the old ones tells more
            return True

    async def _refresh(self, _configuration: object) -> None:
        if time.monotonic() < self._expiry:
            return
        async with self._lock:
            if time.monotonic() >= self._expiry:
                self._set_expiry(RENEWAL_SECONDS)  # when it fails: the old ones may still be good
                try:
                    await self._reload()
                except NoCluster:
                    return

    async def _reload(self) -> None:
        loaded = await self._credentials.load()
        configuration = self.client.configuration
        for name in _FOLLOWED:
            setattr(configuration, name, getattr(loaded.configuration, name))
        try:
            material = _material(configuration)
            fresh = _Connections(configuration) if material != self._material else None
        except (OSError, ValueError) as error:
            raise NoCluster(f"the certificates of {self._credentials} cannot be used: {error}") from error
        if fresh:
            # Whatever runs over the old connections breaks off and is resumed with the new certificates.
            old = self._connections
            self.client.rest_client = self._connections = fresh
            self._material = material
            await old.close()
        self._generation += 1
        self._set_expiry(loaded.seconds)

    def _set_expiry(self, seconds: float | None) -> None:
        self._expiry = float("inf") if seconds is None else time.monotonic() + seconds

    @property
    def _host(self) -> str:
        return str(self.client.configuration.host)

    def _failure(self, what: str, error: Exception) -> ApiFailure:
        if isinstance(error, TimeoutError):
            return ApiFailure(what, "timeout", f"{self._host} did not answer in time ({_reason(error)})")
        return ApiFailure(what, "unreachable", f"{self._host}: {_reason(error)}")


class _Connections(RESTClientObject):
    """The library's connections, with sockets that notice a dead peer, and end when they are told to."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    async def close(self) -> None:
        await super().close()
        # A TLS connection that was let go waits for its peer's farewell, half a minute if need be.
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for _ in range(8):  # reading the end, telling the layers, closing: each is one turn of the event loop
            await asyncio.sleep(0)

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=self._socket)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # Linux has them all
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return made


def _skew(date: str | None, known: float | None) -> float | None:
    """How far our clock is ahead of a `Date` header, in seconds; what is known when there is none to read."""
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return known


def _drop(response: aiohttp.ClientResponse) -> None:
    """Let go of an answer. Its connection goes back for further requests only when it was read to its end."""
    if response.connection and response.connection.transport:
        response.connection.transport.abort()
    response.close()


def _material(configuration: Any) -> bytes:
    """A digest of all that connections are made of. The token is not among it: it goes with each request."""
    digest = hashlib.sha256()
    for name in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, name)
        digest.update(b"\0" + (Path(path).read_bytes() if path and Path(path).exists() else b""))
    for name in ("host", "verify_ssl", "tls_server_name", "proxy"):
        digest.update(b"\0" + repr(getattr(configuration, name)).encode())
    return digest.digest()


def _reason(error: BaseException) -> str:
    # aiohttp's texts repeat the address, and lead with Python's words for what the system has plain ones for.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return shown(str(error.certificate_error))
    number = (error.os_error.errno or 0) if isinstance(error, aiohttp.ClientConnectorError) else 0
    if number in errno.errorcode:
        return os.strerror(number)
    return shown(str(error)) or type(error).__name__
