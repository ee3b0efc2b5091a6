"""The snapshot on real files: what is due when, and every way in which writing fails."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.inventory.api import image, node
from webhook.controller import publisher as module
from webhook.controller.publisher import CannotWrite, Publisher, Rhythm, replace
from webhook.inventory.cluster import Cluster
from webhook.inventory.snapshot import decode
from webhook.sources.snapshot_file import SnapshotFile

QUICK = Rhythm(look=0.01, apart=0.2, touch=1.0, retry=0.05, retry_most=0.2, jump=0.5)
ROOT = Path(__file__).parents[2]


class Desk:
    """A publisher, the facts it publishes, and the time at which they were last known."""

    def __init__(self, path: Path, rhythm: Rhythm = QUICK) -> None:
        self.path = path
        self.cluster = Cluster()
        self.frozen: float | None = None
        self.publisher = Publisher(path, self.cluster, self.known_at, rhythm)
        self.seen: list[tuple[float, bytes]] = []

    def known_at(self) -> float | None:
        return time.time() if self.frozen is None else self.frozen

    def sync(self) -> None:
        self.cluster.replace("nodes", [node("a")], 1.0)
        self.cluster.replace("pods", [], 1.0)
        self.cluster.replace("namespaces", [], 1.0)

    def change(self, number: int) -> None:
        self.cluster.put("nodes", node("a", images=[image(f"example.org/i:{number}")]), time.time())

    def files(self) -> list[str]:
        return sorted(each.name for each in self.path.parent.iterdir())

    async def watch(self) -> None:
        """Note every file that appears under the name."""
        last = b""
        while True:
            try:
                data = self.path.read_bytes()
            except OSError:
                data = b""
            if data != last:
                self.seen.append((time.monotonic(), data))
                last = data
            await asyncio.sleep(0.005)

    async def until(self, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, self.publisher.problem or "it did not come to that"
            await asyncio.sleep(0.005)


def play(path: Path, scenario: Callable[[Desk], Awaitable[None]], rhythm: Rhythm = QUICK) -> Desk:
    desk = Desk(path, rhythm)

    async def act() -> None:
        tasks = [asyncio.create_task(desk.publisher.run()), asyncio.create_task(desk.watch())]
        try:
            async with asyncio.timeout(200):
                await scenario(desk)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(act())
    return desk


def test_nothing_is_written_before_everything_was_listed(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.cluster.replace("nodes", [node("a")], 1.0)
        desk.cluster.replace("pods", [], 1.0)
        await asyncio.sleep(0.3)
        assert desk.files() == []
        assert desk.publisher.age is None
        desk.cluster.replace("namespaces", [], 1.0)
        await desk.publisher.first.wait()  # which comes after the file, by a thread's end
        assert desk.files() == ["snapshot.json"]

    play(tmp_path / "snapshot.json", scenario)


def test_it_is_what_the_webhook_reads(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        desk.change(1)
        await desk.until(lambda: desk.publisher.written is not None)

    old = os.umask(0o077)
    try:
        desk = play(tmp_path / "snapshot.json", scenario)
    finally:
        os.umask(old)
    reader = SnapshotFile(desk.path)
    assert reader.refresh(time.time())
    assert reader.usable
    assert reader.inventory.image("example.org/i:1") is not None
    assert desk.path.stat().st_mode & 0o777 == 0o644
    assert desk.publisher.written is not None
    assert desk.publisher.written.size == desk.path.stat().st_size


def test_changes_are_written_but_not_too_often(tmp_path: Path) -> None:
    began = time.monotonic()
    last: list[int] = []

    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.successes == 1)
        for number in itertools.count():
            desk.change(number)
            last[:] = [number]
            if desk.publisher.successes >= 5:
                break
            await asyncio.sleep(0.02)
        await desk.until(lambda: desk.cluster.version == (desk.publisher.written or never()).version)

    desk = play(tmp_path / "snapshot.json", scenario)
    assert desk.publisher.successes <= (time.monotonic() - began) / QUICK.apart + 1
    assert desk.publisher.successes < last[0], "each change was written by itself"
    assert decode(desk.path.read_bytes()).image(f"example.org/i:{last[0]}") is not None


def never() -> module.Written:
    raise AssertionError("nothing was written")


def test_without_a_change_it_is_touched_and_keeps_its_id(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: len(desk.seen) >= 3)

    desk = play(tmp_path / "snapshot.json", scenario)
    inventories = [decode(data) for _, data in desk.seen]
    assert len({one.id for one in inventories}) == 1
    assert inventories[0].time < inventories[1].time < inventories[2].time
    assert inventories[1].time - inventories[0].time >= QUICK.touch * 0.9


def test_what_changes_without_being_in_the_snapshot_writes_nothing(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: len(desk.seen) == 1)
        for number in range(30):
            small = image(f"example.org/small:{number}", size=1)
            desk.cluster.put("nodes", node("a", images=[small]), time.time())
            await asyncio.sleep(0.02)

    rhythm = Rhythm(look=0.01, apart=0.2, touch=1000)
    assert play(tmp_path / "snapshot.json", scenario, rhythm).publisher.successes == 1


def test_it_looks_no_younger_than_what_is_known(tmp_path: Path) -> None:
    """A broken watch: the time stands still, so that the webhook stops placing by it; changes still come."""

    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: len(desk.seen) == 1)
        await asyncio.sleep(0.3)
        desk.frozen = time.time()
        await asyncio.sleep(2.5)
        assert desk.publisher.age is not None
        assert desk.publisher.age > 2
        desk.change(7)
        await desk.until(lambda: decode(desk.path.read_bytes()).image("example.org/i:7") is not None)
        assert decode(desk.path.read_bytes()).time == pytest.approx(desk.frozen, abs=0.001)
        desk.frozen, thawed = None, time.time()
        await desk.until(lambda: decode(desk.path.read_bytes()).time >= thawed)

    play(tmp_path / "snapshot.json", scenario)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0], ids=["back", "forth"])
def test_after_a_jump_of_the_clock_the_new_time_is_written_soon(tmp_path: Path, jump: float) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: len(desk.seen) == 1)
        desk.frozen = time.time() + jump
        await desk.until(lambda: len(desk.seen) >= 2)
        assert decode(desk.seen[1][1]).time == pytest.approx(desk.frozen, abs=0.001)

    play(tmp_path / "snapshot.json", scenario, Rhythm(look=0.01, apart=0.2, touch=1000, jump=5))


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB, where this process may mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until the file system is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))


async def fails_then_recovers(desk: Desk, mend: Callable[[], object], word: str) -> None:
    before = desk.publisher.written
    desk.change(1)
    await desk.until(lambda: desk.publisher.failures >= 3)
    assert word in (desk.publisher.problem or "")
    assert str(desk.path) in (desk.publisher.problem or "")
    assert desk.publisher.written == before
    mend()
    await desk.until(lambda: desk.publisher.problem is None)
    assert decode(desk.path.read_bytes()).image("example.org/i:1") is not None
    await desk.until(lambda: desk.files() == [desk.path.name])


def test_a_full_disk(tiny: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.written is not None)
        there = desk.path.read_bytes()
        filler = tiny / "filler"
        fill(filler)

        def mend() -> None:
            assert desk.path.read_bytes() == there
            filler.unlink()

        desk.change(1)
        await desk.until(lambda: desk.publisher.failures >= 3)
        # Between two attempts: during one there is a file more.
        await desk.until(lambda: desk.files() == ["filler", "snapshot.json"])
        await fails_then_recovers(desk, mend, "No space left on device")

    play(tiny / "snapshot.json", scenario)


def test_a_read_only_file_system(tiny: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.written is not None)
        remount(tiny, "ro")
        await fails_then_recovers(desk, lambda: remount(tiny, "rw"), "Read-only")

    play(tiny / "snapshot.json", scenario)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The kernel refuses in the middle of a write, as a full disk does; this needs no privileges."""

    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.written is not None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        await fails_then_recovers(desk, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits), "too large")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        play(tmp_path / "snapshot.json", scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.written is not None)
        elsewhere = tmp_path / "elsewhere"
        desk.path.parent.rename(elsewhere)
        await fails_then_recovers(desk, lambda: elsewhere.rename(desk.path.parent), "is the volume mounted?")

    place = tmp_path / "place"
    place.mkdir()
    play(place / "snapshot.json", scenario)


def test_a_directory_in_its_place(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        await fails_then_recovers(desk, desk.path.rmdir, "directory")

    place = tmp_path / "place"
    (place / "snapshot.json").mkdir(parents=True)
    play(place / "snapshot.json", scenario)


def test_a_snapshot_that_no_webhook_would_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)

    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.failures >= 2)
        assert "at most 10" in (desk.publisher.problem or "")
        assert desk.files() == []

    play(tmp_path / "snapshot.json", scenario)


def test_failures_come_ever_less_often(tmp_path: Path) -> None:
    began = time.monotonic()

    async def scenario(desk: Desk) -> None:
        desk.sync()
        await desk.until(lambda: desk.publisher.failures >= 6)

    play(tmp_path / "nowhere" / "snapshot.json", scenario)
    assert time.monotonic() - began >= 0.05 + 0.1 + 3 * 0.2


def test_the_last_snapshot_is_restored_and_what_was_left_is_cleared(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.sync()
        desk.change(3)
        await desk.until(lambda: desk.publisher.written is not None)

    path = tmp_path / "snapshot.json"
    play(path, scenario)
    stale, foreign = tmp_path / ".snapshot.json.0a1b2c3d.tmp", tmp_path / ".other.json.0a1b2c3d.tmp"
    stale.write_text("half a fi")
    foreign.write_text("not ours")
    found = Desk(path).publisher.restore()
    assert found is not None
    assert found.image("example.org/i:3") is not None
    assert not stale.exists()
    assert foreign.exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"null", b'{"schema":99}', b"[" * 100_000],
    ids=["empty", "cut", "binary", "null", "newer", "deep"],
)
def test_an_unreadable_last_snapshot_is_passed_over(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(data)
    assert Desk(path).publisher.restore() is None
    assert Desk(tmp_path / "none" / "snapshot.json").publisher.restore() is None
    assert Desk(tmp_path).publisher.restore() is None


KILLED = """
import sys
from pathlib import Path
from webhook.controller.publisher import replace
contents = [digit * 8_000_000 + b"end" for digit in (b"0", b"1")]
replace(Path(sys.argv[1]), contents[1])
print("ready", flush=True)
while True:
    for content in contents:
        replace(Path(sys.argv[1]), content)
"""


def test_killed_in_the_middle_it_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    attempt = left = 0
    patience = time.monotonic() + 60  # on a busy machine a child may be killed before it goes on, time after time
    while attempt < 12 or (not left and time.monotonic() < patience):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.05 + attempt % 12 * 0.003)
        attempt += 1
        child.kill()
        child.wait()
        child.stdout.close()
        data = path.read_bytes()
        assert data == data[:1] * 8_000_000 + b"end"
        left += len(list(tmp_path.iterdir())) - 1
    assert left > 0, "never in the middle: this shows nothing"
    assert Desk(path).publisher.restore() is None  # no snapshot, but whatever was left is gone
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot.json"]


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = tmp_path / "snapshot.json"
    path.symlink_to(victim)
    replace(path, b"data")
    assert victim.read_text() == "mine"
    assert path.read_bytes() == b"data"


def test_the_text_of_a_failure_names_file_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(CannotWrite, match="Not a directory"):
        replace(path / "snapshot.json", b"")
