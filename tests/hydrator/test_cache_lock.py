"""One writer per model, whoever dies; the others wait and are told; who a pod is, and which files are no locks."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hydrator import caches
from tests.hydrator.caches import SMALL
from tests.hydrator.waiting import until
from webhook.hydrator.cache import Cache, Model, OwnersProgress, Pod, boot_id, pod, this_pod
from webhook.hydrator.outcome import Exit, HydrationError


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(str(tmp_path / "cache")) as opened:
        yield opened


@pytest.fixture
def model(cache: Cache) -> Model:
    return cache.model("0123456789abcdef")


def test_of_many_only_one_brings_it(cache: Cache, tmp_path: Path) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    plan = caches.plan_of(SMALL)

    def bring() -> None:
        with Cache(cache.path) as own:
            one = own.model(caches.directory_of(plan.source))
            with one.lock(lambda _: None):
                if not one.holds(plan):
                    reserved = caches.reserve(one, plan)
                    (brought / str(os.getpid())).touch()
                    caches.fill(reserved.staged, SMALL)
                    one.publish(plan, reserved.staged, caches.crc64(SMALL), {})
                assert one.use(plan.version, Pod("", str(os.getpid())))

    children = [caches.forked(bring) for _ in range(8)]
    assert [caches.ended(child) for child in children] == [0] * 8
    assert len(caches.names(brought)) == 1
    assert len(caches.names(Path(cache.path, caches.directory_of(plan.source), "leases"))) == 8


def test_who_waits_is_told_how_far_the_owner_is_and_takes_over_when_it_is_killed(model: Model, tmp_path: Path) -> None:
    def own() -> None:
        with model.lock(lambda _: None, "trainer-0"):
            (tmp_path / "locked").touch()
            until((tmp_path / "tell").exists)
            model.tell(5_000_000, 20_000_000, 1e6)
            signal.pause()

    owner = caches.forked(own)
    until((tmp_path / "locked").exists)
    told: list[OwnersProgress | None] = []

    def waiting(progress: OwnersProgress | None) -> None:
        told.append(progress)
        (tmp_path / "tell").touch()
        if progress is not None:
            os.kill(owner, signal.SIGKILL)

    with model.lock(waiting, "trainer-1"):
        assert caches.ended(owner) == -signal.SIGKILL
        assert told[0] is None
        last = told[-1]
        assert last is not None
        assert last[:4] == (5_000_000, 20_000_000, 1e6, "trainer-0")
        assert 0 <= last.age < 60
    heard: list[OwnersProgress | None] = []

    def later() -> None:
        with model.lock(lambda _: None):
            (tmp_path / "again").touch()
            time.sleep(0.3)

    owner = caches.forked(later)
    until((tmp_path / "again").exists)
    with model.lock(heard.append):
        assert caches.ended(owner) == 0
    assert set(heard) <= {None}  # what the former owner said is no word of this one


def test_the_lock_lasts_as_long_as_any_process_that_was_forked_under_it(model: Model, tmp_path: Path) -> None:
    def own() -> None:
        with model.lock(lambda _: None):
            worker = caches.forked(signal.pause)
            (tmp_path / "worker.new").write_text(str(worker))
            (tmp_path / "worker.new").rename(tmp_path / "worker")
            signal.pause()

    owner = caches.forked(own)
    until((tmp_path / "worker").exists)
    os.kill(owner, signal.SIGKILL)
    assert caches.ended(owner) == -signal.SIGKILL
    worker = int((tmp_path / "worker").read_text())
    waits = 0

    def waiting(_: OwnersProgress | None) -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            os.kill(worker, signal.SIGKILL)

    with model.lock(waiting):
        assert waits >= 2


def test_a_lock_file_that_was_deleted_and_made_anew_has_one_owner(model: Model, tmp_path: Path) -> None:
    def own(name: str) -> None:
        with model.lock(lambda _: None):
            (tmp_path / f"{name} locked").touch()
            until((tmp_path / f"{name} go").exists)

    first = caches.forked(lambda: own("first"))
    until((tmp_path / "first locked").exists)
    waits = second = 0

    def waiting(_: OwnersProgress | None) -> None:
        nonlocal waits, second
        waits += 1
        if waits == 1:
            Path(model.path, "lock").unlink()
            second = caches.forked(lambda: own("second"))
            until((tmp_path / "second locked").exists)
            (tmp_path / "first go").touch()
            assert caches.ended(first) == 0
        elif waits == 3:  # the first lock was had by then, and was not enough
            (tmp_path / "second go").touch()

    with model.lock(waiting):
        assert waits >= 3
    assert caches.ended(second) == 0


def test_what_goes_wrong_under_the_lock_is_nothing_of_the_locks(model: Model) -> None:
    with pytest.raises(ConnectionResetError), model.lock(lambda _: None):
        raise ConnectionResetError(errno.ECONNRESET, "of the source")
    with model.lock(lambda _: pytest.fail("it was given up")):
        pass


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _second_name(path: Path) -> None:
    path.with_name("precious").write_text("precious")
    os.link(path.with_name("precious"), path)


@pytest.mark.parametrize("plant", [_link, _pipe, _directory, _second_name])
def test_a_lock_that_is_none_is_refused(model: Model, plant: Callable[[Path], None]) -> None:
    Path(model.path).mkdir()
    plant(Path(model.path, "lock"))
    with pytest.raises(HydrationError, match="cannot lock a model") as caught, model.lock(lambda _: None):
        pass
    assert caught.value.exit_code is Exit.DISK
    assert "remove it" in caught.value.hint


@pytest.mark.parametrize("plant", [_link, _pipe, _directory, _second_name])
def test_progress_that_cannot_be_told_stops_nobody(model: Model, plant: Callable[[Path], None]) -> None:
    Path(model.path).mkdir()
    plant(Path(model.path, "progress"))
    with model.lock(lambda _: None, "trainer-0"):
        model.tell(1, 2, 3.0)
        child = caches.forked(lambda: _wait_once(model))
        assert caches.ended(child) == 0
    precious = Path(model.path, "precious")
    assert not precious.exists() or precious.read_text() == "precious"


def _wait_once(model: Model) -> None:
    def waiting(progress: OwnersProgress | None) -> None:
        assert progress is None
        os._exit(0)

    with model.lock(waiting):
        os._exit(1)


@pytest.mark.parametrize(
    "record", [b"", b"\0" * 512, b"[1,2,3]", b'[1,2,"x","o",0]', b"[" * 512, b'{"done":1}', b"\xff" * 512]
)
def test_progress_of_any_content_is_none_or_whole(model: Model, record: bytes) -> None:
    with model.lock(lambda _: None):
        Path(model.path, "progress").write_bytes(record)
        assert caches.ended(caches.forked(lambda: _wait_once(model))) == 0


_UID = "5b7d6e0a-0000-4000-8000-000000000001"
_OTHER = "5b7d6e0a-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (f"1 2 259:1 /var/lib/kubelet/pods/{_UID}/etc-hosts /etc/hosts rw - ext4 /dev/root rw", _UID),
        (f"1 2 259:1 /pods/{_UID}/containers/c/0a1b /dev/termination-log rw - xfs /dev/nvme1n1 rw", _UID),
        (f"1 2 259:1 /pods/{'0af' * 10}00/etc-hosts /etc/hosts rw - ext4 /dev/root rw", "0af" * 10 + "00"),
        (f"1 2 0:1 /a /var/lib/kubelet/pods/{_UID}/volumes/x rw - ext4 /dev/root rw", ""),  # on the node itself
        (
            f"1 2 0:1 /pods/{_UID}/v /var/lib/kubelet/pods/{_UID}/volume-subpaths/x rw - ext4 /dev/root rw",
            "",
        ),
        (f"1 2 0:1 /pods/{_UID}/a /a rw - x\n1 2 0:1 /pods/{_OTHER}/b /b rw - x", ""),  # of several: none of them
        ("garbage\n\n1 2", ""),
    ],
)
def test_the_pod_is_known_by_what_the_kubelet_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, expected: str
) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    monkeypatch.setattr(pod, "_MOUNTS", str(tmp_path / "mountinfo"))
    assert this_pod({"HOSTNAME": "trainer-0"}) == (expected, "trainer-0")


def test_a_pod_without_a_name_has_the_machines() -> None:
    assert this_pod({}).name == os.uname().nodename


@pytest.mark.parametrize("name", ["", "..", "a/b", "\0", "x" * 300, ".hidden", "ü"])
def test_a_lease_is_a_file_of_its_own_whatever_the_pods_name(cache: Cache, name: str) -> None:
    model, plan = caches.bring(cache, SMALL, pod=Pod("", name))
    (lease,) = caches.names(Path(model.path, "leases"))
    assert lease == Pod("", name).key
    assert model.use(plan.version, Pod("", name))
    assert caches.names(Path(model.path, "leases")) == [lease]


def test_a_boot_has_an_identity() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip() != ""
