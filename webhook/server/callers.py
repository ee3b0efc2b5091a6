"""Who may ask for a decision at all, decided before a byte of the body is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.daemon.logs import LOGGER
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.call import Refused, refuse
from webhook.server.handshake import Handshake
from webhook.server.metrics import Metrics


class Callers:
    """Lets an app's callers in by the names in their certificates, by bearer tokens, by both, or as they come.

    Empty `names` lets in everyone whose handshake succeeded; `tokens` None asks for none.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, names: frozenset[str], tokens: BearerTokens | None) -> None:
        self._app = app
        self._metrics = metrics
        self._names = names
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        reason = self._stranger(scope)
        if reason is None:
            await self._app(scope, receive, send)
            return
        refused = _REFUSALS[reason]
        self._metrics.strangers[reason] += 1
        self._metrics.refused[str(refused.status)] += 1
        client = scope.get("client")
        LOGGER.warning(
            f"caller refused: {reason}",  # each reason has its own share of the log
            extra={"fields": {"client": client[0] if client else ""}, "throttled": True},
        )
        await refuse(scope, receive, send, refused)

    def _stranger(self, scope: Scope) -> str | None:
        if self._names:
            connection = scope.get("state", {}).get("tls")
            if not isinstance(connection, Handshake) or self._names.isdisjoint(connection.names):
                return "client-name"
        if self._tokens is None:
            return None
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            return "token-missing"
        scheme, _, token = given[0].partition(b" ")
        # Two headers are an attempt to make two readers see different ones.
        right = self._tokens.accept(token.strip()) and scheme.lower() == b"bearer" and len(given) == 1
        return None if right else "token-unknown"


_REFUSALS = {
    "client-name": Refused(403, "the client certificate names nobody who may ask here (--client-name)", stranger=True),
    "token-missing": Refused(401, "a bearer token is required (--bearer-token-file)", stranger=True),
    "token-unknown": Refused(401, "this bearer token is not accepted (--bearer-token-file)", stranger=True),
}
