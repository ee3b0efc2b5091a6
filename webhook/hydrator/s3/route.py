"""How connections come to be: name, one of its addresses, proxy, TLS. Errors say which of these failed."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from typing import Any

from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3 import tls
from webhook.hydrator.s3.address import Endpoint
from webhook.hydrator.s3.answer import MAX_HEAD, Unparsable, parse_head
from webhook.hydrator.s3.proxy import Proxy, proxy_for
from webhook.hydrator.s3.settings import Settings

_NAMES_LAST = 5.0  # seconds; S3 answers other addresses as often, and so spreads its load
_MAX_TRIES = 4  # addresses tried for one connection
_TIMEVAL = struct.Struct("@ll")


class Unreached(Transient):
    """No connection came to be. `hint` helps the person who reads it once trying again has been given up."""

    def __init__(self, message: str, hint: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.hopeless = hopeless
        """A few times are enough."""


class Route:
    """The way to one endpoint. Used by all threads of a process, and by processes forked from where it was made."""

    def __init__(self, endpoint: Endpoint, settings: Settings, environ: Mapping[str, str]) -> None:
        self.endpoint = endpoint
        self.stall_seconds = settings.stall_seconds
        self.proxy: Proxy | None = proxy_for(environ, tls=endpoint.tls, host=endpoint.host, port=endpoint.port)
        self._connect_seconds = settings.connect_seconds
        self._ca_bundle = settings.ca_bundle
        self._context = tls.context(settings.ca_bundle) if endpoint.tls else None
        self._names: tuple[float, list[tuple[Any, ...]]] = (-_NAMES_LAST, [])
        self._refused: set[tuple[Any, ...]] = set()

    @property
    def place(self) -> str:
        """What the other side is, in messages."""
        return self.endpoint.authority + (f" through the proxy {self.proxy}" if self.proxy else "")

    def connect(self) -> socket.socket:
        """A connection whose receives and sends end after `stall_seconds` with BlockingIOError or SSLWantReadError.

        These time-outs are the kernel's. Python's would make every receive a poll and two calls: on the data path
        that costs more than TLS does. Unreached, HydrationError.
        """
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.endpoint.host, self.endpoint.port)
        plain = self._reach(host, port)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context and self.proxy:
                self._through(plain, self.proxy)
            made = self._secured(plain, self._context) if self._context else plain
            whole, part = divmod(self.stall_seconds, 1.0)
            limit = _TIMEVAL.pack(int(whole), int(part * 1e6))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            # For Python it does not block, so an expired time-out is an error at once; for the kernel it does.
            made.settimeout(0)
            os.set_blocking(made.fileno(), True)
        except BaseException:
            plain.close()
            raise
        return made

    def _reach(self, host: str, port: int) -> socket.socket:
        """TCP to a random address of the name: S3's are many, and each has its own share of bandwidth."""
        known = self._look_up(host, port)
        # By chance, and those that did not answer lately last. (The module random takes milliseconds to import.)
        tried = sorted(known, key=lambda one: (one[4] in self._refused, os.urandom(4)))[:_MAX_TRIES]
        why = ""
        for family, kind, protocol, _, address in tried:
            try:
                made = socket.socket(family, kind, protocol)
            except OSError as error:
                why = f"{error.strerror}"  # no IPv6 here, or no descriptor left
                continue
            try:
                made.settimeout(self._connect_seconds)
                made.connect(address)
            except OSError as error:
                made.close()
                self._refused.add(address)
                seconds = f"no answer within {self._connect_seconds:g} s"
                why = seconds if isinstance(error, TimeoutError) else error.strerror or str(error)
            except BaseException:
                made.close()
                raise
            else:
                self._refused.discard(address)
                return made
        what = "the proxy " if self.proxy else ""
        raise Unreached(
            f"{what}{host}:{port} cannot be connected to: {why} ({len(tried)} of {len(known)} addresses tried)",
            "check HTTPS_PROXY and NO_PROXY, and that the proxy runs"
            if self.proxy
            else "check network policies, security groups, routes and the VPC endpoint; --endpoint-url if there is one",
        )

    def _look_up(self, host: str, port: int) -> list[tuple[Any, ...]]:
        when, known = self._names
        if time.monotonic() - when < _NAMES_LAST:
            return known
        try:
            found: list[tuple[Any, ...]] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (socket.gaierror, UnicodeError) as error:
            if known:  # the last answer is better than none: resolvers have their moments
                return known
            unknown = isinstance(error, UnicodeError) or error.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
            why = "there is no such name" if unknown else f"the name service says: {error.strerror}"  # type: ignore[union-attr]  # a UnicodeError is unknown
            raise Unreached(
                f"{'the proxy ' if self.proxy else ''}{host!r} cannot be looked up: {why}",
                "check --endpoint-url and --region"
                + (", and HTTPS_PROXY" if self.proxy else "")
                + "; if they are right, check this node's DNS",
                hopeless=unknown,
            ) from None
        self._names = (time.monotonic(), found)
        return found

    def _through(self, plain: socket.socket, proxy: Proxy) -> None:
        """Have the proxy pass TLS on, by CONNECT."""
        shown = f"[{self.endpoint.host}]" if ":" in self.endpoint.host else self.endpoint.host
        target = f"{shown}:{self.endpoint.port}"
        head = b""
        try:
            plain.sendall(f"CONNECT {target} HTTP/1.1\r\nhost:{target}\r\n{proxy.authorization}\r\n".encode())
            while not head.endswith(b"\r\n\r\n"):
                byte = plain.recv(1)  # what follows belongs to TLS
                head += byte
                if not byte or len(head) > MAX_HEAD:
                    raise Unreached(f"the proxy {proxy} broke off when asked for {target}", "check that the proxy runs")
            status = parse_head(head[:-4]).status
        except TimeoutError:
            raise Unreached(
                f"the proxy {proxy} did not answer within {self._connect_seconds:g} s", "check that it runs"
            ) from None
        except OSError as error:
            raise Unreached(f"the proxy {proxy} broke off: {error.strerror}", "check that the proxy runs") from None
        except Unparsable as error:
            raise HydrationError(
                Exit.UNREACHABLE,
                f"the proxy {proxy} does not speak HTTP: it answers {error}",
                "check HTTPS_PROXY: its host, port and scheme",
            ) from None
        if status == 407:
            raise HydrationError(
                Exit.UNREACHABLE,
                f"the proxy {proxy} wants a user and password"
                + (", others than it was given" * bool(proxy.authorization)),
                "put them into HTTPS_PROXY: http://user:password@host:port, percent-encoded",
            )
        if status >= 500 or status == 429:
            raise Unreached(f"the proxy {proxy} does not reach {target}: status {status}", "see the proxy's own log")
        if status != 200:
            raise HydrationError(
                Exit.UNREACHABLE,
                f"the proxy {proxy} refuses to connect to {target}: status {status}",
                "have the proxy allow this host, or put it into NO_PROXY to go there directly",
            )

    def _secured(self, plain: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        host = self.endpoint.host
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise tls.distrust(error, self.place, self._ca_bundle) from None
        except TimeoutError:
            raise Unreached(
                f"{self.place} does not finish the TLS handshake within {self._connect_seconds:g} s",
                "check firewalls that look into TLS, and the path's MTU",
            ) from None
        except ssl.SSLError as error:
            reason = (error.reason or "").lower().replace("_", " ")
            raise Unreached(
                f"{self.place} does not speak TLS as expected: {reason or error}",
                "if it is an endpoint without TLS, write http:// in --endpoint-url",
                hopeless="wrong version" in reason or "http request" in reason,
            ) from None
        except OSError as error:
            raise Unreached(
                f"{self.place} broke off the TLS handshake: {error.strerror}", "check the way there"
            ) from None
