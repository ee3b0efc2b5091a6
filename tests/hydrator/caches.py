"""A cache to test with: plans, bytes that belong to them, and a short way from one to the other."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from awscrt import checksums

from webhook.hydrator.cache import Cache, Held, KeepFree, Model, Pod, Reservation, parse_keep_free
from webhook.hydrator.plan import File, Filters, Plan, make
from webhook.hydrator.staged import Staged

POD = Pod("5b7d6e0a-0000-4000-8000-000000000001", "trainer-0")
KEEP = parse_keep_free("0")
DAY = 86_400.0
SMALL = {"config.json": b'{"a": 1}', "weights/part-1.safetensors": b"w" * 10_000, "empty": b""}


def directory_of(source: str) -> str:
    """16 digits of a source."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def plan_of(files: Mapping[str, bytes], source: str = "s3://acme/llama/") -> Plan:
    """The plan of these files."""
    listed = [File(path, len(body), f'"{hashlib.md5(body).hexdigest()}"', path) for path, body in files.items()]
    return make(source, listed, Filters())


def plan_of_size(size: int, source: str) -> Plan:
    """The plan of one file of so many bytes."""
    return make(source, [File("weights", size, f'"{source}"', "weights")], Filters())


def lay_out(plan: Plan, staged: Staged) -> None:
    """What the engine does before the first byte: every file in its full size, its blocks taken."""
    Path(staged.ballast).write_bytes(b"")
    for file in plan.files:
        path = Path(staged.data, file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as out:
            if file.size:
                os.posix_fallocate(out.fileno(), 0, file.size)


def lay_out_thinly(plan: Plan, staged: Staged) -> None:
    """The same on a filesystem without fallocate(2): the blocks come with the bytes."""
    for file in plan.files:
        path = Path(staged.data, file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as out:
            out.truncate(file.size)


def crc64(files: Mapping[str, bytes]) -> dict[str, int]:
    """CRC64NVME of every file."""
    return {path: checksums.crc64nvme(body) for path, body in files.items()}


def crc64_many(paths: Iterable[str]) -> dict[str, int]:
    """CRC64NVME of files on disk, without those that cannot be read."""
    found = {}
    for path in paths:
        try:
            found[path] = checksums.crc64nvme(Path(path).read_bytes())
        except OSError:
            continue
    return found


def reserve(
    model: Model,
    plan: Plan,
    *,
    keep_free: KeepFree = KEEP,
    max_size: int | None = None,
    lease: float = DAY,
    evicted: list[Held] | None = None,
) -> Reservation:
    """Reserve as the run does; the models that had to go are put into `evicted`."""
    return model.reserve(
        plan,
        keep_free=keep_free,
        max_size=max_size,
        lease_seconds=lease,
        lay_out=lay_out,
        evicted=([] if evicted is None else evicted).append,
    )


def fill(staged: Staged, files: Mapping[str, bytes]) -> None:
    """Write the bytes of a model where they belong."""
    for path, body in files.items():
        place = Path(staged.data, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)


def bring(
    cache: Cache,
    files: Mapping[str, bytes],
    source: str = "s3://acme/llama/",
    *,
    pod: Pod | None = POD,
    max_size: int | None = None,
    lease: float = DAY,
) -> tuple[Model, Plan]:
    """Bring a model into a cache, from lock to use; without a pod nobody leases it."""
    plan = plan_of(files, source)
    model = cache.model(directory_of(source))
    with model.lock(lambda _: None):
        reserved = reserve(model, plan, max_size=max_size, lease=lease)
        fill(reserved.staged, files)
        model.publish(plan, reserved.staged, crc64(files), {})
        if pod is not None:
            assert model.use(plan.version, pod)
    return model, plan


def tree_of(root: str | Path) -> dict[str, bytes | str | None]:
    """All that lies below a directory: files by content, links by target, directories as None."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(Path(root).rglob("*")):
        name = str(path.relative_to(root))
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def names(directory: str | Path) -> list[str]:
    """What lies in a directory."""
    return sorted(path.name for path in Path(directory).iterdir())


def forked(run: Callable[[], object]) -> int:
    """Run something in a forked process, which ends with 0, or with 1 and a traceback; answer its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        run()
        code = 0
    except BaseException:  # noqa: BLE001  # it is shown, and must not come up in the copy of the test that this is
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a process; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def unheard(held: Held) -> None:
    """For those who need not know what was evicted."""
    del held
