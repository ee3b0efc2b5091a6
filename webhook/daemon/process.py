"""The life of a process: how it starts, what it tells of strays, and how it is asked to stop."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Coroutine

from uvicorn.loops.auto import auto_loop_factory

from webhook.daemon.listener import Listener
from webhook.daemon.logs import LOGGER

_FILES = 65_536


class CannotStart(Exception):
    """The process cannot start; the text is one sentence that says why and what to do."""


def run(main: Coroutine[object, object, None]) -> None:
    """Run `main` on the loop of every process of ours, with room for files and with exceptions that are told of."""
    _raise_file_limit()
    # While a thread works the event loop waits this long for the interpreter; the default is 5 ms.
    sys.setswitchinterval(0.001)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.get_loop().set_exception_handler(_log_stray)
        runner.run(main)


class Stop:
    """SIGTERM asks to stop in good order; SIGINT, or a second signal, at once. Made inside the running loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.pressed = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._term)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    async def wait_until_asked(self, seconds: float) -> None:
        """Sleep, or return once somebody asks to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.asked.wait()
        except TimeoutError:
            return

    async def wait_unless_pressed(self, seconds: float) -> None:
        """Sleep, or return when somebody at a terminal does not want to wait."""
        try:
            async with asyncio.timeout(seconds):
                await self.pressed.wait()
        except TimeoutError:
            return

    def _term(self) -> None:
        if self.asked.is_set():
            self.pressed.set()
        self.asked.set()

    def _interrupt(self) -> None:
        self.pressed.set()
        self.asked.set()


async def start(listener: Listener, host: str, port: int, flag: str) -> int:
    """Bind and accept; the port that was bound. CannotStart, naming the `flag`, when it cannot be."""
    try:
        return await listener.start(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"{flag}: cannot listen on {netloc(host, port)}: {reason}") from error


def netloc(host: str, port: int) -> str:
    """`host:port` as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _log_stray(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Tell of an exception no task or callback caught, in our form and not too often."""
    error = context.get("exception")
    LOGGER.error(
        "unexpected",
        exc_info=error if isinstance(error, BaseException) else None,
        extra={"fields": {"what": str(context.get("message", ""))[:512]}, "throttled": True},
    )


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
