"""One thread's signed requests to one bucket, and what their answers mean."""

from __future__ import annotations

from contextlib import suppress

from webhook import __version__
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3 import refusal, session
from webhook.hydrator.s3.access import Access, Keys
from webhook.hydrator.s3.answer import Answer
from webhook.hydrator.s3.connection import Connection
from webhook.hydrator.s3.credentials import Credentials
from webhook.hydrator.s3.refusal import Asked, Stale
from webhook.hydrator.s3.route import Route
from webhook.hydrator.s3.signature import Signer

_AGENT = f"user-agent:warmpod-hydrate/{__version__}\r\n"
_FAMILIAR = 0.5  # seconds a reader waits for new credentials, which the parent renews about every second


class Client:
    """Not for two threads at once."""

    def __init__(self, route: Route, access: Access, *, request_payer: bool) -> None:
        endpoint = route.endpoint
        self.endpoint = endpoint
        self.connection = Connection(route)
        self._access = access
        self._keys = Keys(access.slot)
        self._signer = Signer(endpoint.region, endpoint.service)
        self._headers = [("host", endpoint.authority)]
        if request_payer:
            self._headers.append(("x-amz-request-payer", "requester"))
        # A proxy for requests without TLS wants the whole URL; with TLS it sees none of them.
        proxied = route.proxy if not endpoint.tls else None
        self._start = endpoint.url if proxied else ""
        self._unsigned_lines = _AGENT + (proxied.authorization if proxied else "")
        self._express = endpoint.service == "s3express"

    def ask(self, method: str, path: str, query: str = "", headers: list[tuple[str, str]] | None = None) -> Answer:
        """The answer, whatever its status; its body is in `connection`. Transient, HydrationError."""
        return self._ask(self._keys.current(), method, path, query, headers or [], in_session=self._express)

    def refuse(self, answer: Answer, asked: Asked) -> Exception:
        """What an unwanted answer means, of which the body is read here. Credentials that ended are complained of."""
        body = b""
        with suppress(Transient):  # the status says enough
            body = self.connection.rest(refusal.MAX_ERROR)
        self.connection.finish()
        meant = refusal.refusal(answer, body, asked, self.endpoint, self._secrets())
        if isinstance(meant, Stale):
            if not self._access.renewable:
                return HydrationError(Exit.DENIED, meant.message, "give newer ones: a session's last for hours only")
            self._keys.complain()
            meant.delay = max(meant.delay, _FAMILIAR)
        return meant

    def create_session(self, base: Credentials, asked: Asked) -> Credentials:
        """Credentials for a directory bucket. Transient, HydrationError."""
        answer = self._ask(base, "GET", f"{self.endpoint.base}/", session.QUERY, session.HEADERS, in_session=False)
        if answer.status != 200:
            body = self.connection.rest(refusal.MAX_ERROR)
            self.connection.finish()
            raise refusal.refusal(answer, body, asked, self.endpoint, self._secrets() + tuple(base[:3]))
        return session.parse_session(self.connection.rest(session.MAX_ANSWER))

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.drop()

    def _ask(
        self,
        credentials: Credentials | None,
        method: str,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        *,
        in_session: bool,
    ) -> Answer:
        headers = self._headers + headers
        if credentials:
            lines = self._signer.head(credentials, method, path, query, headers, session=in_session)
        else:
            lines = "".join([f"{name}:{value}\r\n" for name, value in headers])
        target = f"{path}?{query}" if query else path
        request = f"{method} {self._start}{target} HTTP/1.1\r\n{lines}{self._unsigned_lines}\r\n"
        return self.connection.exchange(request.encode(), bodiless=method == "HEAD")

    def _secrets(self) -> tuple[str, ...]:
        known = self._keys.current()
        return self._access.secrets + (tuple(known[:3]) if known else ())
