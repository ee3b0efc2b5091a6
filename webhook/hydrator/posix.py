"""Models from a mounted tree: FSx for Lustre, NFS, any directory. `file:///path/`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from errno import EACCES, EINVAL, ELOOP, ENOENT, ENOTDIR, EPERM, ESTALE
from fcntl import F_GETFL, F_SETFL, fcntl

from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.plan import MAX_FILES, File, Filters, Plan, make

_DEEPEST = 64  # directories below one another
_NAMES = 16  # that one directory may have: sixty directories of two links each make 2**60 paths
_MOST_ENTRIES = 4 * MAX_FILES
_PAGE = 4096
_DIRECT = 1 << 20  # ranges below this are read through the page cache
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class PosixSource:
    """A `source.Source`: a directory or one regular file. `root` is where its path is mounted, if elsewhere.

    Symbolic links are followed as long as they lead to something below the root.
    """

    def __init__(self, name: str, filters: Filters, root: str | None = None) -> None:
        self._name = name
        self._filters = filters
        self._root = os.path.abspath(root if root is not None else "/" + name.removeprefix("file://").strip("/"))

    def plan(self) -> Plan:
        """Every regular file, found by walking. HydrationError NOT_FOUND, DENIED, UNSAFE, UNREACHABLE."""
        strange: dict[str, str] = {}
        try:
            listed = list(self._listed(strange))
        except OSError as error:
            raise _refusal(self._name, error) from error
        plan = make(self._name, listed, self._filters)
        for file in plan.files:
            if file.path in strange:
                raise HydrationError(
                    Exit.UNSAFE,
                    f"{self._name}: {file.path!r} {strange[file.path]}",
                    "leave it out with --exclude, or put a regular file in its place",
                )
        return plan

    def prove(self, plan: Plan) -> None:
        """Open a file for reading."""
        reader = self.reader()
        try:
            smallest = min(plan.files, key=lambda file: file.size)
            reader.open(smallest, 0, smallest.size).close()
        except Transient as error:
            raise HydrationError(Exit.UNREACHABLE, error.message, "see whether the volume is mounted") from error
        finally:
            reader.close()

    def stated_crc64(self, file: File) -> None:
        """None: filesystems keep no checksums that one could ask for."""
        del file

    def tend(self) -> None:
        """Nothing runs out here."""

    def reader(self) -> PosixReader:
        """A new one."""
        return PosixReader(self._name, self._root)

    def close(self) -> None:
        """Nothing was started."""

    def _listed(self, strange: dict[str, str]) -> Iterator[File]:
        found = os.stat(self._root)
        if stat.S_ISREG(found.st_mode):
            name = os.path.basename(self._root)
            yield File(name, found.st_size, _etag(found), name)
            return
        if not stat.S_ISDIR(found.st_mode):
            raise HydrationError(
                Exit.UNSAFE, f"{self._name} is {_kind(found)}", "name a directory or a regular file as the source"
            )
        yield from _Walk(self._name, self._root, strange).files()


class _Walk:
    """One walk through a tree. What is no file of it goes to `strange`, with what it is, and is listed all the same."""

    def __init__(self, name: str, root: str, strange: dict[str, str]) -> None:
        self._name = name
        self._root = root
        self._real = os.path.realpath(root)
        self._strange = strange
        self._entries = 0
        self._visits: dict[tuple[int, int], int] = {}

    def files(self) -> Iterator[File]:
        return self._below(self._root, "", ())

    def _below(self, directory: str, path: str, above: tuple[tuple[int, int], ...]) -> Iterator[File]:
        here = os.stat(directory)
        identity = (here.st_dev, here.st_ino)
        self._visits[identity] = visits = self._visits.get(identity, 0) + 1
        if identity in above:
            yield self._odd(path.rstrip("/"), "leads back to a directory that it lies in")
            return
        if visits > _NAMES or len(above) >= _DEEPEST:
            yield self._odd(path.rstrip("/"), "lies too deep" if visits <= _NAMES else "is linked to too often")
            return
        with os.scandir(directory) as entries:
            for entry in entries:
                self._entries += 1
                if self._entries > _MOST_ENTRIES:
                    raise HydrationError(
                        Exit.UNSAFE,
                        f"{self._name} holds more than {_MOST_ENTRIES:,} names",
                        "name the model's own directory as the source",
                    )
                yield from self._one(entry, path + entry.name, (*above, identity))

    def _one(self, entry: os.DirEntry[str], path: str, above: tuple[tuple[int, int], ...]) -> Iterator[File]:
        name = path
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if real != self._real and not real.startswith(self._real.rstrip("/") + "/"):
                yield self._odd(path, "is a symbolic link to something outside the source")
                return
            name = real[len(self._real) :].lstrip("/")
        try:
            found = entry.stat()
        except OSError as error:
            if error.errno not in {ENOENT, ELOOP, ENOTDIR}:
                raise
            if entry.is_symlink():
                yield self._odd(path, "is a symbolic link to nothing")
            return  # else: deleted since it was listed
        if stat.S_ISDIR(found.st_mode):
            yield from self._below(entry.path, path + "/", above)
        elif stat.S_ISREG(found.st_mode):
            yield File(path, found.st_size, _etag(found), name)
        else:
            yield self._odd(path, f"is {_kind(found)}")

    def _odd(self, path: str, why: str) -> File:
        self._strange[path] = why
        return File(path, 1, "", path)  # a size that no marker of a directory has


class PosixReader:
    """One thread's way to the tree: a descriptor of its root."""

    def __init__(self, source: str, root: str) -> None:
        self._source = source
        try:
            found = os.stat(root)
            at = root if stat.S_ISDIR(found.st_mode) else os.path.dirname(root)
            self._root = os.open(at, _DIRECTORY)
        except OSError as error:
            raise _refusal(source, error) from error

    def open(self, file: File, offset: int, length: int) -> PosixBody:
        """The range. CHANGED where the file is not the one that was planned."""
        # O_NONBLOCK: should a FIFO stand there now, opening it would wait for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        direct = length >= _DIRECT
        try:
            try:
                descriptor = os.open(file.name, flags | (os.O_DIRECT if direct else 0), dir_fd=self._root)
            except OSError as error:
                if not direct or error.errno != EINVAL:
                    raise
                direct = False
                descriptor = os.open(file.name, flags, dir_fd=self._root)
        except OSError as error:
            if error.errno in {ENOENT, ENOTDIR, ELOOP}:
                raise _changed(self._source, file) from error
            raise _broken(file, error) from error
        body = PosixBody(self._source, file, descriptor, offset, length, direct=direct)
        try:
            body.check()
        except BaseException:
            body.close()
            raise
        return body

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._root)


class PosixBody:
    """A range of a file, read past the page cache as far as offsets and lengths allow."""

    crc64: int | None = None

    def __init__(self, source: str, file: File, descriptor: int, offset: int, length: int, *, direct: bool) -> None:
        self._source = source
        self._file = file
        self._descriptor = descriptor
        self._offset = offset
        self._left = length
        self._direct = direct

    def check(self) -> None:
        """CHANGED unless the file is still the one that was planned."""
        try:
            found = os.fstat(self._descriptor)
        except OSError as error:
            raise _broken(self._file, error) from error
        if _etag(found) != self._file.etag or not stat.S_ISREG(found.st_mode):
            raise _changed(self._source, self._file)

    def readinto(self, view: memoryview) -> int:
        """Fill the view, less at the end. Transient where the filesystem fails."""
        wanted = min(len(view), self._left)
        if not wanted:
            return 0
        if self._direct and (self._offset % _PAGE or wanted % _PAGE):
            self._through_the_page_cache()
        try:
            count = self._read(view[:wanted])
        except OSError as error:
            raise _broken(self._file, error) from error
        self._offset += count
        self._left -= count
        if not self._left or not count:
            self.check()  # whatever was read may be of two versions otherwise
        return count

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, view: memoryview) -> int:
        try:
            return os.preadv(self._descriptor, [view], self._offset)
        except OSError as error:
            if not self._direct or error.errno != EINVAL:
                raise
        self._through_the_page_cache()  # the memory is not aligned, or the filesystem wants more than pages
        return os.preadv(self._descriptor, [view], self._offset)

    def _through_the_page_cache(self) -> None:
        self._direct = False
        with suppress(OSError):
            fcntl(self._descriptor, F_SETFL, fcntl(self._descriptor, F_GETFL) & ~os.O_DIRECT)


def _etag(found: os.stat_result) -> str:
    return f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def _kind(found: os.stat_result) -> str:
    for test, name in (
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    ):
        if test(found.st_mode):
            return name
    return "no regular file"


def _changed(source: str, file: File) -> HydrationError:
    return HydrationError(
        Exit.CHANGED,
        f"{source}: {file.name!r} changed since it was listed",
        "run again when nobody writes there; the next run lists it anew",
    )


def _broken(file: File, error: OSError) -> HydrationError | Transient:
    if error.errno in {EACCES, EPERM}:
        return _refusal(repr(file.name), error)
    said = f"{file.name!r}: {error.strerror or error}"
    if error.errno == ESTALE:
        said += " (the server no longer knows the file)"
    return Transient(said)


def _refusal(what: str, error: OSError) -> HydrationError:
    where = f" ({error.filename!r})" if isinstance(error.filename, str) else ""
    said = f"{what}: {error.strerror or error}{where}"
    if error.errno in {ENOENT, ENOTDIR}:
        return HydrationError(Exit.NOT_FOUND, said, "check the path, and that its volume is mounted here")
    if error.errno in {EACCES, EPERM}:
        return HydrationError(
            Exit.DENIED,
            said,
            f"we are uid {os.geteuid()}, gid {os.getegid()}: let it read them, or change the pod's runAsUser",
        )
    return HydrationError(Exit.UNREACHABLE, said, "see whether the volume's server answers")
