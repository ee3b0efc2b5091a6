"""A process that finds credentials by awscrt's default chain and hands them over a pipe.

awscrt starts threads, and processes forked from one that has them inherit locks that nobody will open. So it is never
loaded where the engine forks: this process is forked before, from a clean parent, and serves it alone. It ends when
the parent closes the pipe or dies.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Mapping
from typing import NoReturn

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.s3.credentials import Credentials, advice, has_token, origin

_PATIENCE = 30.0  # seconds that the chain may take: some of its links try again by themselves
_MAX_ANSWER = 1 << 17
_MAX_DESCRIPTORS = 4096


class Broker:
    """The parent's side. `environ` is what the chain looks at."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        asked, self._asking = os.pipe()
        self._answers, answering = os.pipe()
        self._received = b""
        self._pending = False
        self._pid = os.fork()
        if self._pid == 0:
            _serve(asked, answering, environ)
        os.close(asked)
        os.close(answering)

    def ask(self) -> None:
        """Have it look for new credentials, unless it is about it already."""
        if not self._pending:
            if not has_token(self._environ):
                raise self._none("its token file cannot be read")
            try:
                os.write(self._asking, b"\n")
            except BrokenPipeError:
                raise self._lost() from None
            self._pending = True

    def poll(self, seconds: float = 0.0) -> Credentials | None:
        """What it found since it was asked; None while it looks. HydrationError DENIED when it found nothing."""
        if not self._pending:
            return None
        while select.select([self._answers], [], [], seconds)[0]:
            piece = os.read(self._answers, 1 << 16)
            self._received += piece
            if not piece or len(self._received) > _MAX_ANSWER:
                raise self._lost()
            if self._received.endswith(b"\n"):
                answer, self._received, self._pending = json.loads(self._received), b"", False
                if "error" in answer:
                    raise self._none(str(answer["error"]))
                return Credentials(*answer["credentials"])
        return None

    def wait(self) -> Credentials:
        """What it finds, as long as that takes within reason. HydrationError DENIED."""
        self.ask()
        found = self.poll(_PATIENCE + 5.0)
        if found is None:
            raise self._none(f"no answer within {_PATIENCE:g} s")
        return found

    def close(self) -> None:
        """End it, in the process that made it."""
        if self._pid:
            os.close(self._asking)
            os.close(self._answers)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _none(self, why: str) -> HydrationError:
        return HydrationError(
            Exit.DENIED, f"no AWS credentials from {origin(self._environ)}: {why}", advice(self._environ)
        )

    def _lost(self) -> HydrationError:
        self._pending = False
        return HydrationError(
            Exit.DENIED,
            "the process that looks for AWS credentials has died",
            "look for the OOM killer in the node's log; raise the memory limit of the container",
        )


def _serve(asked: int, answering: int, environ: Mapping[str, str]) -> NoReturn:
    """The child. It holds nothing of the parent's but standard error."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, where the parent gets it too
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        low, high = sorted((asked, answering))
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, _MAX_DESCRIPTORS)
        given = dict(environ)  # it may be os.environ itself
        os.environ.clear()
        os.environ.update(given)
        # awscrt 0.38.1 takes it for the host name of STS, scheme and all; and it is the store's.
        os.environ.pop("AWS_ENDPOINT_URL", None)
        import awscrt.auth  # noqa: PLC0415 - in this process alone, and while the parent looks up names

        while os.read(asked, 1):
            answer = _find(awscrt.auth.AwsCredentialsProvider)
            os.write(answering, json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)  # what the parent would do at its end is not for this process to do


def _find(provider: type) -> dict[str, object]:
    try:
        # A new chain each time: a chain keeps what it found for minutes, but we ask when something newer is needed.
        found = provider.new_default_chain().get_credentials().result(_PATIENCE)  # type: ignore[attr-defined]  # given so that awscrt is imported in one place
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        return {"error": getattr(error, "name", "") or type(error).__name__}
    expires = found.expiration
    return {
        "credentials": (
            found.access_key_id,
            found.secret_access_key,
            found.session_token or "",
            expires.timestamp() if expires else float("inf"),
        )
    }
