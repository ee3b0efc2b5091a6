"""HTTP as registries are asked: bounded in time and bytes, and never a login to a host that it is not for."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode, urlsplit

from webhook.policy.legibility import shown

Why = Literal["missing", "denied", "throttled", "unreachable", "unsupported"]

_MOST_BYTES: Final = 4 * 2**20  # of a manifest, by the distribution specification; tokens are shorter
_CHUNK: Final = 64 * 1024
_AGENT: Final = "warmpod"


class RegistryFailure(Exception):
    """A registry does not say what was asked. The text names the image and the registry, and holds no secret."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why: Why = why


class Answer(NamedTuple):
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def basic(user: str, secret: str) -> str:
    """The header of HTTP's basic authentication."""
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def is_loopback(registry: str) -> bool:
    """Whether a registry (HOST[:PORT]) is on this machine."""
    host = ""
    try:
        host = urlsplit(f"//{registry}").hostname or ""
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other hosts without the login, and from TLS never to the clear."""

    def redirect_request(  # noqa: PLR0917  urllib's
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if before.scheme == "https" and after.scheme != "https":
            return None
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and (before.scheme, before.netloc) != (after.scheme, after.netloc):
            made.remove_header("Authorization")
        return made


class _Connection(http.client.HTTPConnection):
    """Waits for the head of an answer no longer than its timeout, however slowly its bytes come."""

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer; TimeoutError where its head does not come in time."""
        connected, late = self.sock, threading.Event()

        def give_up() -> None:
            late.set()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # not TLS's own, which is for the reader's thread

        timer = threading.Timer(self.timeout or 0.0, give_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if late.is_set():
            response.close()
            raise TimeoutError
        return response


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    """The same by TLS."""


class _Clear(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Tls(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req)


class Http:
    """Requests, by the proxies of the environment but for this machine. `seconds` bounds each of them as a whole."""

    def __init__(self, seconds: float = 20.0) -> None:
        self._seconds = seconds
        self._far = urllib.request.build_opener(_Redirects(), _Clear(), _Tls())
        self._near = urllib.request.build_opener(_Redirects(), _Clear(), _Tls(), urllib.request.ProxyHandler({}))

    def get(self, url: str, headers: Mapping[str, str], about: str, query: Mapping[str, str] | None = None) -> Answer:
        """GET. `about` is what errors speak of. Raises RegistryFailure where nobody answers."""
        given = urlencode({name: value for name, value in (query or {}).items() if value})
        return self._sent(f"{url}{'&' if '?' in url else '?'}{given}" if given else url, headers, None, about)

    def post(self, url: str, form: Mapping[str, str], about: str) -> Answer:
        """POST of a form; raises as `get`."""
        return self._sent(url, {}, urlencode(form).encode(), about)

    def _sent(self, url: str, headers: Mapping[str, str], body: bytes | None, about: str) -> Answer:
        host = urlsplit(url).netloc
        end = time.monotonic() + self._seconds
        opener = self._near if is_loopback(host) else self._far
        try:
            # Registries and their token servers are https, or this machine: their caller has seen to that.
            request = urllib.request.Request(url, body, {"User-Agent": _AGENT, **headers})  # noqa: S310  as said above
            try:
                response = opener.open(request, timeout=self._seconds)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                told = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, told, _read(response, end, f"{about}: {host}"))
        except urllib.error.URLError as error:
            reason = shown(str(error.reason), 100)
            raise RegistryFailure("unreachable", f"{about}: {shown(host)} cannot be reached: {reason}") from None
        except TimeoutError:
            raise RegistryFailure("unreachable", f"{about}: {host} does not answer in time") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = shown(str(error) or type(error).__name__, 100)
            raise RegistryFailure("unreachable", f"{about}: {shown(host)} cannot be understood: {reason}") from None


def _read(response: Any, end: float, where: str) -> bytes:
    """The body, as far as one may be long, and before the time is over."""
    found = bytearray()
    while chunk := response.read1(_CHUNK):
        found += chunk
        if len(found) > _MOST_BYTES:
            raise RegistryFailure("unsupported", f"{where} answers with more than {_MOST_BYTES >> 20} MiB")
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(found)
