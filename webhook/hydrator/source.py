"""What the engine asks of a place that models come from. `s3` and `posix` are the two there are."""

from __future__ import annotations

from typing import Protocol

from webhook.hydrator.plan import File, Plan


class Body(Protocol):
    """The bytes of one range, read from its beginning to its end."""

    crc64: int | None
    """CRC64NVME of the whole file as the source states it, where this answer says so."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; answer how many bytes. Fewer: the range ends there, or the source broke off; 0: it has ended.

        What was read before it broke off is answered first; the next call says why, as Transient or HydrationError.
        """

    def close(self) -> None:
        """Be done with it, read to the end or not."""


class Reader(Protocol):
    """One thread's way to the source: keeps what is worth keeping from one range to the next."""

    def open(self, file: File, offset: int, length: int) -> Body:
        """The bytes [offset, offset + length) of the file as planned; all of it when that is all of it.

        Transient: try again. HydrationError: do not (CHANGED when the file is no longer the one that was planned).
        """

    def close(self) -> None:
        """Let go of connections and descriptors."""


class Source(Protocol):
    """A place that a model comes from. Made where the plan is; `reader` is called in processes forked from there."""

    def plan(self) -> Plan:
        """List it, with the pod's own credentials. HydrationError, where it cannot be."""

    def prove(self, plan: Plan) -> None:
        """Show the right to read its bytes, not only to list them, by one request; else HydrationError."""

    def stated_crc64(self, file: File) -> int | None:
        """CRC64NVME of the whole file as the source states it, asked for anew; None where it states none.

        Called in forked processes. Transient or HydrationError.
        """

    def tend(self) -> None:
        """Renew what runs out, such as credentials. Called about every second where the plan is while others read."""

    def reader(self) -> Reader:
        """A new one for the calling thread, in a forked process."""

    def close(self) -> None:
        """End what it started, in the process that made it."""
