"""Credentials as long as they last: where they come from, when they are renewed, how other processes get them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3.broker import Broker
from webhook.hydrator.s3.credentials import Credentials, decode, origin, static
from webhook.hydrator.s3.settings import Settings
from webhook.hydrator.s3.slot import Slot
from webhook.hydrator.s3.web_identity import web_identity

_MARGIN = 300.0  # seconds before the end, at most a third of their life
_QUICK = 3.0  # seconds: a renewal must not keep the parent from its other duties
_AGAIN = 10.0  # seconds between tries to renew


class Access:
    """The parent's side. `session` makes those of an S3 Express session of others, where the bucket wants it."""

    def __init__(self, environ: Mapping[str, str], settings: Settings) -> None:
        unsigned = settings.unsigned
        self.slot = Slot()
        self.origin = "an unsigned request" if unsigned else origin(environ)
        self.session: Callable[[Credentials], Credentials] | None = None
        self._static = static(environ)
        self._web_identity = web_identity(environ, settings._replace(stall_seconds=_QUICK, connect_seconds=_QUICK))
        self._broker = None if unsigned or self._static or self._web_identity else Broker(environ)
        self._unsigned = unsigned
        self._base: tuple[Credentials, float] | None = None
        self._made: tuple[Credentials, float] | None = None
        self._tried = float("-inf")
        self._owner = os.getpid()
        if self._broker:
            with suppress(HydrationError):  # which will be told when somebody waits for it
                self._broker.ask()  # it takes a tenth of a second, in which we load TLS

    def begin(self) -> None:
        """Have credentials in the slot. HydrationError DENIED, or what making a session raises."""
        if not self._unsigned and not self._made:
            self.renew()

    def renew(self) -> None:
        """Have new ones in the slot, now. As `begin`."""
        if self._static:
            self._base = (_checked(self._static, self.origin), time.time())
        elif self._web_identity:
            self._base = (_checked(self._web_identity.fetch(), self.origin), time.time())
        elif self._broker:
            self._base = (_checked(self._broker.wait(), self.origin), time.time())
        self._publish()

    @property
    def renewable(self) -> bool:
        """Whether asking again may give others."""
        return bool(self._broker or self._web_identity or self.session)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown; in a forked process, as it was when that was forked."""
        return tuple(text for made in (self._base, self._made) if made for text in made[0][:3])

    def tend(self) -> None:
        """Renew what is about to end or was complained of, without waiting long. HydrationError when all has ended."""
        if not self._base or not self._made:
            return
        try:
            if self._broker and (found := self._broker.poll()):
                self._base = (_checked(found, self.origin), time.time())
                self._publish()
            elif _ends_soon(self._made) or _ends_soon(self._base) or self.slot.complained():
                self._try_to_renew()
        except (HydrationError, Transient) as error:
            if time.time() > self._made[0].expires:
                message = f"the credentials have expired and could not be renewed: {error}"
                hint = error.hint if isinstance(error, HydrationError) else "run again: what is on disk is kept"
                raise HydrationError(Exit.DENIED, message, hint) from None

    def close(self) -> None:
        """End the broker, in the process that made it."""
        if self._broker and os.getpid() == self._owner:
            self._broker.close()

    def _try_to_renew(self) -> None:
        now = time.monotonic()
        if now - self._tried < min(_AGAIN, self._lifetime() / 10):
            return
        self._tried = now
        assert self._base
        if _ends_soon(self._base) or (self.slot.complained() and not self.session):
            if self._broker:
                self._broker.ask()
            elif self._web_identity:
                self.renew()
        elif self.session:
            self._publish()

    def _lifetime(self) -> float:
        return min(made[0].expires - made[1] for made in (self._base, self._made) if made)

    def _publish(self) -> None:
        assert self._base
        made = self.session(self._base[0]) if self.session else self._base[0]
        self._made = (made, time.time())
        self.slot.write(made.encode())


class Keys:
    """What a thread signs with: the slot's credentials, parsed once for each that is written there."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._stamp = b""
        self._known: Credentials | None = None

    def current(self) -> Credentials | None:
        """The present ones; None in an empty slot, which means that nothing is signed. Transient."""
        if self._slot.stamp() != self._stamp:
            try:
                text, stamp = self._slot.read()
                self._known = decode(text) if text else None
            except ValueError:
                raise Transient("the credentials in shared memory cannot be read") from None
            self._stamp = stamp
        return self._known

    def complain(self) -> None:
        """Tell the owner of the slot that the store refuses these."""
        self._slot.complain(self._stamp)


def _ends_soon(made: tuple[Credentials, float]) -> bool:
    credentials, since = made
    return time.time() > credentials.expires - min(_MARGIN, (credentials.expires - since) / 3)


def _checked(found: Credentials, whose: str) -> Credentials:
    """They become header lines: what is no printable ASCII would make two of one, or a wrong signature."""
    for text in found[:3]:
        if not text.isascii() or not text.isprintable() or " " in text:
            raise HydrationError(
                Exit.DENIED,
                f"{whose}: a blank or line end is inside a key or token",
                "check how they were written there",
            )
    return found
