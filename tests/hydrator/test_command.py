"""`warmpod hydrate` as a process: what it says, when it says it, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fault_store import FaultStore
from tests.hydrator.hydrate_process import COMMAND, ROOT, Node
from tests.hydrator.waiting import until
from tests.object_store import ObjectStore
from webhook.hydrator.request import directory_of

MIB = 1 << 20
FILES = {"model.safetensors": os.urandom(3 * MIB), "config.json": b"{}", "original/params.json": b"[]"}
SLOW = ("--max-rate=8MB/s", "--processes=1", "--connections=2")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What a process says on stderr, up to the line that matches."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(said)


def test_a_model_comes_from_s3_and_the_next_pod_finds_it(node: Node, object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    for name, body in FILES.items():
        object_store.put(bucket, f"llama/{name}", body)
    source, env = f"s3://{bucket}/llama/", object_store.environment(tls=True)
    first = node.run(node.model(source, exclude=["original/*"]), env=env)
    assert first.code == 0, first.stderr
    directory = first.message["models"][0]["directory"]
    assert node.tree(directory) == {name: body for name, body in FILES.items() if "/" not in name}
    assert first.report.result == "downloaded"
    assert first.message["verified_bytes"] == first.message["fetched_bytes"] == first.message["bytes"] == 3 * MIB + 2
    assert first.message["caches"] == ["cache"]
    assert [(one.source, one.tenant, one.checked) for one in first.report.models] == [(source, "team-a", True)]
    assert "every byte compared with the source's checksums" in first.stderr
    second = node.run(node.model(source, exclude=["original/*"]), env=env)
    assert (second.code, second.report.result) == (0, "hit")
    assert second.report.models == first.report.models
    assert second.stdout == first.stdout == ""
    for secret in (object_store.secret_key, object_store.access_key):
        assert secret not in first.stderr + second.stderr + json.dumps([first.message, second.message])


def test_a_hit_imports_nothing_that_it_can_do_without(node: Node, object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    object_store.put(bucket, "llama/config.json", b"{}")
    given, env = node.model(f"s3://{bucket}/llama/"), object_store.environment()
    assert node.run(given, env=env).report.result == "downloaded"
    script = (
        "import sys\nfrom webhook.cli.start import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sorted(sys.modules), sep='\\n')\n"
    )
    ended = node.ended(node.start(given, env=env, command=[sys.executable, "-c", script, "hydrate"]))
    assert ended.report.result == "hit", ended.stderr
    heavy = {"awscrt", "_awscrt", "click", "ctypes", "asyncio", "logging", "pathlib", "subprocess", "http.client"}
    heavy |= {"urllib.request", "email", "traceback", "difflib", "dataclasses", "inspect", "tempfile", "msgspec"}
    heavy |= {"webhook.cli.main", "webhook.hydrator.posix", "webhook.hydrator.download"}
    assert heavy & set(ended.stdout.split()) == set()


def test_a_model_of_no_tenant_is_not_told_of(node: Node) -> None:
    ended = node.run(node.fill(FILES), "--cache", str(node.cache))
    assert (ended.code, ended.report.result, ended.report.models, ended.report.omitted) == (0, "downloaded", (), None)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_it_stops_when_told_to_and_goes_on_where_it_was(node: Node, number: int, code: int) -> None:
    source = node.fill({"model.safetensors": os.urandom(32 * MIB)})
    process = node.start(node.model(source), "--max-rate=20MB/s", "--processes=1", "--connections=1")
    journal = node.cache / directory_of(source) / "staging"
    until(lambda: any(path.stat().st_size > 100 for path in journal.glob("*/journal")))
    os.killpg(process.pid, number)  # as Ctrl-C does; a kubelet tells the first process alone
    ended = node.ended(process, timeout=30)  # the grace of a pod
    assert ended.code == code, ended.stderr
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert (ended.report.result, ended.message["reason"]) == ("error", "TERMINATED")
    assert "are kept for the next run" in ended.message["message"]
    assert ended.stderr.count("error:") == 1
    assert "Traceback" not in ended.stderr
    again = node.run(node.model(source))
    assert again.code == 0, again.stderr
    assert again.message["resumed_bytes"] > 0
    assert again.message["resumed_bytes"] + again.message.get("fetched_bytes", 0) == 32 * MIB
    assert node.tree(directory_of(source))["model.safetensors"] == (node.source / "model.safetensors").read_bytes()


def test_who_is_killed_has_left_word(node: Node) -> None:
    source = node.fill({"model.safetensors": bytes(8 * MIB)})
    process = node.start(node.model(source), *SLOW)
    read_until(process, "downloading")
    process.kill()
    ended = node.ended(process)
    assert (ended.code, ended.report.result, ended.message["reason"]) == (-9, "error", "KILLED")
    assert node.run(node.model(source)).code == 0


def test_those_who_wait_see_how_far_the_owner_is(node: Node, tmp_path: Path) -> None:
    source = node.fill({"model.safetensors": bytes(12 * MIB)})
    owner = node.start(node.model(source), *SLOW)
    read_until(owner, "downloading")
    waiter = Node(tmp_path)
    waiter.log = tmp_path / "other-log"
    process = waiter.start(node.model(source), env={"HOSTNAME": "pod-b"})
    said = read_until(
        process, r"waiting for pod pod-a, which brings file://.*/: [0-9.]+ [kM]?B of 12.6 MB \([0-9]+ %\)"
    )
    first, second = node.ended(owner), waiter.ended(process)
    assert (first.code, first.report.result) == (0, "downloaded"), first.stderr
    assert (second.code, second.report.result) == (0, "hit"), said + second.stderr
    assert second.message["lock_wait_s"] > 0
    assert "of waiting" in second.stderr


def test_the_next_takes_over_from_an_owner_who_is_killed(node: Node, tmp_path: Path) -> None:
    source = node.fill({"model.safetensors": os.urandom(32 * MIB)})
    owner = node.start(node.model(source), "--max-rate=10MB/s", "--processes=1", "--connections=1")
    read_until(owner, "downloading")
    waiter = Node(tmp_path)
    waiter.log = tmp_path / "other-log"
    process = waiter.start(node.model(source))
    read_until(process, "waiting for")
    journal = node.cache / directory_of(source) / "staging"
    until(lambda: any(path.stat().st_size > 100 for path in journal.glob("*/journal")))
    owner.kill()
    owner.communicate()
    ended = waiter.ended(process)
    assert (ended.code, ended.report.result) == (0, "downloaded"), ended.stderr
    assert ended.message["resumed_bytes"] > 0
    assert node.tree(directory_of(source))["model.safetensors"] == (node.source / "model.safetensors").read_bytes()


def test_a_pod_that_may_go_on_without_its_model_does(node: Node) -> None:
    ended = node.run(node.model(f"file://{node.source}/none/", onFailure="Continue"))
    assert ended.code == 0
    assert (ended.report.result, ended.message["reason"], ended.message["continued"]) == ("error", "NOT_FOUND", True)
    assert "warning: onFailure is Continue: the pod starts without the model" in ended.stderr
    assert "error:" in ended.stderr


def test_a_pod_that_goes_on_keeps_the_version_it_has(node: Node) -> None:
    source = node.fill(FILES)
    assert node.run(node.model(source)).code == 0
    (node.cache / directory_of(source) / "leases" / "pod-a").unlink()
    for path in (node.source / "original", node.source):
        for one in path.iterdir():
            if one.is_file():
                one.unlink()
    ended = node.run(node.model(source, onFailure="Continue"))
    assert ended.code == 0
    assert "the pod starts with the version that lies in the cache" in ended.stderr
    assert [(one.source, one.checked) for one in ended.report.models] == [(source, False)]
    assert (node.cache / directory_of(source) / "leases" / "pod-a").exists()


def test_all_models_are_tried_and_the_first_that_has_to_be_there_decides(node: Node) -> None:
    source = node.fill(FILES)
    ended = node.run(
        node.model(f"file://{node.source}/none/", onFailure="Continue"),
        node.model(f"file://{node.source}/nothing/"),
        node.model("file:///etc/", include=["passwd"], maxSize=1),
        node.model(source),
    )
    assert ended.code == 5, ended.stderr
    assert (ended.report.result, ended.message["failed"]) == ("error", 3)
    assert "nothing" in ended.message["message"]
    assert [one.source for one in ended.report.models if one.checked] == [source]
    assert ended.stderr.count("error:") == 3


def test_two_caches_are_told_of_apart(node: Node, tmp_path: Path) -> None:
    source, other = node.fill(FILES), str(tmp_path / "cluster")
    ended = node.run(node.model(source), node.model(source, cache=other, tenant=""))
    assert ended.code == 0
    assert ended.message["caches"] == ["cache", "cluster"]
    assert {(one["cache"], one["tenant"]) for one in ended.message["models"]} == {("cache", "team-a"), ("cluster", "")}


def test_what_is_evicted_is_told(node: Node, tmp_path: Path) -> None:
    first = node.fill({"old": bytes(3 * MIB)})
    assert node.run(node.model(first, lease=0)).code == 0
    node.source = tmp_path / "second"
    second = node.fill({"new": bytes(3 * MIB)})
    ended = node.run(node.model(second, maxSize="4Mi", lease=0))
    assert ended.code == 0, ended.stderr
    assert [one.source for one in ended.report.evicted] == [first]
    assert [one.source for one in ended.report.models] == [second]
    assert f"note: {first} was evicted" in ended.stderr
    refused = node.run(node.model(f"{second}new", maxSize="1Mi"))
    assert (refused.code, refused.message["reason"]) == (28, "NO_ROOM")


def test_a_trusted_cache_asks_nobody(node: Node, fault_store: FaultStore) -> None:
    fault_store.put("llama/config.json", b"{}")
    source, env = f"s3://{fault_store.bucket}/llama/", fault_store.environment()
    assert node.run(node.model(source, trustCache=True), env=env).report.result == "downloaded"
    asked = len(fault_store.requests)
    ended = node.run(node.model(source, trustCache=True), env=env)
    assert (ended.code, ended.report.result) == (0, "hit")
    assert len(fault_store.requests) == asked
    assert "trusted" in ended.stderr
    assert [one.checked for one in ended.report.models] == [False]


def test_who_may_not_read_the_source_gets_no_hit(node: Node, fault_store: FaultStore) -> None:
    fault_store.put("llama/config.json", b"{}")
    source, env = f"s3://{fault_store.bucket}/llama/", fault_store.environment()
    assert node.run(node.model(source), env=env).code == 0
    fault_store.fault("answer", "GET", status=403, code="AccessDenied", times=0)
    ended = node.run(node.model(source), env=env)
    assert (ended.code, ended.message["reason"]) == (4, "DENIED")
    assert "s3:GetObject" in ended.stderr
    assert [one.checked for one in ended.report.models] == [False]


@pytest.mark.parametrize(
    "given",
    [
        ["--bogus"],
        [],
        ["--model={"],
        ["s3://b/m"],
        ["ftp://b/m", "--cache=/c"],
        ["--lease=x", "s3://b/m", "--cache=/c"],
    ],
    ids=["flag", "nothing", "json", "no-cache", "source", "value"],
)
def test_what_it_cannot_make_sense_of_ends_with_2(node: Node, given: list[str]) -> None:
    ended = node.run(*given)
    assert ended.code == 2
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["error", "hint"]
    assert (ended.report.result, ended.message["reason"]) == ("error", "USAGE")
    assert ended.stderr.splitlines()[0] == f"error: {ended.message['message']}"


def test_a_defect_is_one_line_with_its_place_and_has_last_words(node: Node) -> None:
    source = node.fill(FILES)
    script = (
        "import sys\nfrom webhook.hydrator import run\nfrom webhook.hydrator.command import main\n"
        "run.source_of = lambda wanted, setting: {}[wanted.name]\nsys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script]
    ended = node.ended(node.start(node.model(source), command=command))
    assert (ended.code, ended.message["reason"]) == (70, "DEFECT")
    assert re.search(r"error: KeyError: '[0-9a-f]{16}' \(run.py:[0-9]+\)\nhint: this is a defect", ended.stderr)
    shown = node.ended(node.start(node.model(source), command=command, env={"WARMPOD_DEBUG": "1"}))
    assert "Traceback" in shown.stderr


def test_a_log_that_cannot_be_written_is_a_warning(node: Node, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, node.fill(FILES), "--cache", str(node.cache), "--termination-log", str(tmp_path)],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip  # as others are
    assert done.returncode == 0
    assert "warning: no termination message" in done.stderr


def test_standard_descriptors_that_are_closed_do_not_become_files_of_the_cache(node: Node) -> None:
    source = node.fill(FILES)
    shell = 'exec 0<&- 1>&- 2>&-; exec "$@"'
    process = node.start(node.model(source), command=["/bin/sh", "-c", shell, "sh", *COMMAND])
    ended = node.ended(process)
    assert (ended.code, ended.report.result) == (0, "downloaded")
    assert node.tree(directory_of(source)) == FILES
    assert b"downloading" not in b"".join(path.read_bytes() for path in node.cache.rglob("*") if path.is_file())


def test_progress_is_a_line_at_once_and_one_at_the_end(node: Node) -> None:
    ended = node.run(node.fill(FILES), "--cache", str(node.cache), env={"NO_COLOR": "1"})
    assert "\x1b" not in ended.stderr
    assert "\r" not in ended.stderr
    first, last = ended.stderr.splitlines()
    assert re.fullmatch(r"downloading file://.*/source/: 0 B of 3.15 MB \(0 %\)", first)
    assert re.fullmatch(r"file://.*/source/ downloaded: 3.15 MB in 3 files in [0-9.]+ s, [0-9.]+ .?B/s, .*", last)


def test_no_progress_is_silence(node: Node) -> None:
    assert node.run(node.fill(FILES), "--cache", str(node.cache), "--progress=none").stderr == ""


@pytest.mark.parametrize(
    ("columns", "frame"),
    [
        (0, r"download.*\.\.\..*rce/: [0-9.]+ .?B of 4.19 MB \[=+ +\] [0-9]+ %, [0-9.]+ MB/s, [0-9.]+ s left"),
        (68, r"down.*\.\.\..*ce/: [0-9.]+ .?B of 4.19 MB \([0-9]+ %\), [0-9.]+ MB/s, [0-9.]+ s left"),
        (30, r"[0-9.]+ .?B of 4.19 MB \([0-9]+ %\),.*"),
    ],
    ids=["unknown-width", "narrow", "tiny"],
)
def test_a_terminal_shows_a_bar(node: Node, columns: int, frame: str) -> None:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
        given = [node.fill({"m": bytes(4 * MIB)}), "--cache", str(node.cache), *SLOW]
        process = node.start(*given, env={"TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        said = b""
        with suppress(OSError):  # EIO: nobody holds the other end any more
            while data := os.read(ours, 65536):
                said += data
        assert process.wait() == 0
    finally:
        os.close(ours)
    *frames, last = said.decode().split("\r\x1b[K")
    shown = [one.removesuffix("\x1b[K") for one in "".join(frames).split("\r")]
    assert len(shown) > 2
    assert all(len(one) < (columns or 80) for one in shown)
    assert any(re.fullmatch(frame, one) for one in shown), shown
    assert re.fullmatch(r"file://\S+ downloaded: .*\r\n", last)


def test_verify_finds_what_is_not_as_it_was_brought(node: Node, tmp_path: Path) -> None:
    def verify(path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "--verify", str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )

    source = node.fill(FILES)
    assert node.run(node.model(source)).code == 0
    whole = verify(node.cache)
    assert (whole.returncode, whole.stdout) == (0, ""), whole.stderr
    assert "1 version, 3 files, 3.15 MB compared" in whole.stderr
    path = (node.cache / directory_of(source) / "current").resolve() / "model.safetensors"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)
        file.seek(MIB)
        file.write(bytes([byte[0] ^ 1]))
    damaged = verify(node.cache / directory_of(source))
    assert damaged.returncode == 1
    assert damaged.stdout.startswith(f"{path}: has CRC64NVME ")
    assert damaged.stdout.count("\n") == 1
    assert "error: 1 thing in" in damaged.stderr
    assert verify(tmp_path / "none").returncode == 9
    (tmp_path / "empty").mkdir()
    assert verify(tmp_path / "empty").returncode == 5
