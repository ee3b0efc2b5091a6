"""CRC64NVME, which S3 keeps of whole objects: 0.02 CPU seconds per GB, and combinable. Of memory, and of files.

Import it late: it takes 65 ms, which a hit does not spend. It starts no thread.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
from collections.abc import Mapping, Sequence
from errno import EINVAL
from functools import partial
from struct import Struct

from awscrt import checksums

from webhook.hydrator.engine.buffers import ALIGNMENT, buffers
from webhook.hydrator.engine.crew import Crew
from webhook.hydrator.engine.parts import MIB, Part, Parts
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File, Plan

_RESULT = Struct("<I?Q")
_THREADS = 4  # of each process
_INLINE = 8 * MIB  # less than this in all is not worth a fork
_BUFFER = MIB
_TICK = 0.2  # seconds between two looks at whether the workers live


def crc64nvme(view: memoryview, before: int = 0) -> int:
    """The CRC of what had the CRC `before`, and of this after it."""
    return int(checksums.crc64nvme(view, before))


def combine(first: int, second: int, length: int) -> int:
    """The CRC of two pieces, one after the other, from the CRC of each and the length of the second."""
    return int(checksums.combine_crc64nvme(first, second, length))


def crc64_of(path: str) -> int | None:
    """The CRC64NVME of a file on disk; None where it cannot be read."""
    return crc64_many([path]).get(path)


def crc64_many(paths: Sequence[str]) -> Mapping[str, int]:
    """The CRC64NVME of each file, read past the page cache where that goes; those that cannot be read are left out.

    HydrationError DEFECT where a process that reads is killed.
    """
    files = []
    for path in dict.fromkeys(paths):
        try:
            status = os.stat(path, follow_symlinks=False)
        except (OSError, ValueError):  # ValueError: a NUL
            continue
        if stat.S_ISREG(status.st_mode):
            files.append(File(path, status.st_size, "", path))
    parts = Parts(Plan("", tuple(files)))
    found: dict[int, int | None] = {}
    if sum(file.size for file in files) < _INLINE:
        (memory,) = buffers(1, _BUFFER)
        for number in range(len(parts)):
            found[number] = _crc64_of_part(files, parts[number], memory)
    else:
        found = _by_workers(files, parts)
    crc64s: dict[str, int] = {}
    for index, file in enumerate(files):
        whole: int | None = 0
        for number in parts.of(index):
            piece = found[number]
            whole = None if whole is None or piece is None else combine(whole, piece, parts[number].length)
        if whole is not None:
            crc64s[file.path] = whole
    return crc64s


def _by_workers(files: list[File], parts: Parts) -> dict[int, int | None]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    processes = min(len(os.sched_getaffinity(0)), len(parts))
    crew = None
    try:
        crew = Crew(processes, partial(_work, files, parts, processes * _THREADS, theirs))
        found: dict[int, int | None] = {}
        while len(found) < len(parts):
            ended = None if select.select([ours], [], [], _TICK)[0] else crew.dead()
            while select.select([ours], [], [], 0)[0]:
                number, readable, crc64 = _RESULT.unpack(ours.recv(_RESULT.size))
                found[number] = crc64 if readable else None
            if ended and len(found) < len(parts):
                raise HydrationError(
                    Exit.DEFECT, f"a process that read {files[0].path!r} and others {ended}", "run it with more memory"
                )
        return found
    finally:
        if crew:
            crew.close()
        ours.close()
        theirs.close()


def _work(files: list[File], parts: Parts, threads: int, results: socket.socket, process: int) -> None:
    def read(thread: int, memory: memoryview) -> None:
        try:
            for number in range(thread, len(parts), threads):
                crc64 = _crc64_of_part(files, parts[number], memory)
                results.send(_RESULT.pack(number, crc64 is not None, crc64 or 0))
        except BaseException:  # noqa: BLE001  # a thread that ended alone would be waited for in vain
            os._exit(1)

    first = process * _THREADS
    running = [
        threading.Thread(target=read, args=(first + one, memory))
        for one, memory in enumerate(buffers(_THREADS, _BUFFER))
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _crc64_of_part(files: list[File], part: Part, memory: memoryview) -> int | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    path = files[part.file].path
    try:
        if part.length >= _BUFFER:
            try:
                return _read(os.open(path, flags | os.O_DIRECT), part, memory)
            except OSError as error:
                if error.errno != EINVAL:
                    raise
        return _read(os.open(path, flags), part, memory)
    except OSError:
        return None


def _read(descriptor: int, part: Part, memory: memoryview) -> int | None:
    """The CRC of a part; None where the file ends before it does."""
    try:
        crc64 = done = 0
        while done < part.length:
            wanted = min(_BUFFER, part.length - done)
            whole = -(-wanted // ALIGNMENT) * ALIGNMENT  # direct reads take whole blocks, and end where the file does
            count = min(wanted, os.preadv(descriptor, [memory[:whole]], part.offset + done))
            if not count or (count < wanted and count % ALIGNMENT):
                return None
            crc64 = crc64nvme(memory[:count], crc64)
            done += count
        return crc64
    finally:
        os.close(descriptor)
