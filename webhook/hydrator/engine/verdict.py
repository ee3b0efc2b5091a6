"""Whether files that have come are what their source says: checksums of parts, combined and compared."""

from __future__ import annotations

from typing import NamedTuple

from webhook.hydrator.engine.crc import combine
from webhook.hydrator.engine.journal import VERIFIED, VOID, Record
from webhook.hydrator.engine.parts import Parts
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File


class Wrong(NamedTuple):
    """A file is whole, and its checksum is not the one that its source states. `void` forgets its parts."""

    file: int
    crc64: int
    stated: int
    void: list[Record]


class Verdict:
    """What has come of every file, and what the source states of those that come in several parts.

    A file of one part was compared by its worker, before it was noted down.
    """

    def __init__(self, parts: Parts, done: dict[int, Record]) -> None:
        self._parts = parts
        self._records: dict[int, dict[int, Record]] = {}  # of files that are not whole yet, by file and part
        self._stated: dict[int, int | None] = {}
        self.crc64: dict[str, int] = {}
        """CRC64NVME of every file that is whole, and not other than stated, by its path."""
        self.verified = 0
        """Bytes of files that have the checksum which their source states."""
        for record in done.values():
            self.came(record)

    def came(self, record: Record) -> Wrong | None:
        """Note a part. Where that makes its file whole and wrong, the file's parts are forgotten."""
        file = self._parts[record.part].file
        self._records.setdefault(file, {})[record.part] = record
        return self._look(file)

    def stated(self, file: int, crc64: int | None) -> Wrong | None:
        """Note what the source states. Where the file is whole and wrong, its parts are forgotten."""
        self._stated[file] = crc64
        return self._look(file)

    def _look(self, file: int) -> Wrong | None:
        numbers = self._parts.of(file)
        records = self._records.get(file, {})
        if len(records) < len(numbers):
            return None
        size = self._parts.files[file].size
        if len(numbers) == 1:
            record = records[numbers[0]]
            self._settle(file, record.crc64, size if record.flags & VERIFIED else 0)
            return None
        if file not in self._stated:
            return None
        crc64 = 0
        for number in numbers:
            crc64 = combine(crc64, records[number].crc64, records[number].length)
        stated = self._stated[file]
        if stated is None or stated == crc64:
            self._settle(file, crc64, 0 if stated is None else size)
            return None
        del self._records[file]
        return Wrong(file, crc64, stated, [Record(number, self._parts[number].length, 0, VOID) for number in numbers])

    def _settle(self, file: int, crc64: int, verified: int) -> None:
        del self._records[file]
        self.crc64[self._parts.files[file].path] = crc64
        self.verified += verified


def corrupt(file: File, found: int, stated: int) -> HydrationError:
    """The file came twice, and neither time with the checksum that the source states."""
    return HydrationError(
        Exit.CORRUPT,
        f"{file.name!r} has CRC64NVME {found:016x}, read twice, where its source states {stated:016x}",
        "the object is damaged at the source, or something between changes it: upload it again, or try without a proxy",
    )
