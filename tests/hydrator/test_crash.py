"""Killed anywhere, a hydration leaves nothing that looks whole and is not, and the next run goes on from there."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.hydrator.hydrate_process import Node
from tests.object_store import ObjectStore
from webhook.hydrator.request import directory_of

MIB = 1 << 20
KILLS = 50
NOISE = os.urandom(17 * MIB)
FILES = {
    "model-1.safetensors": NOISE,
    "empty": b"",
    **{f"model-2/{index:02}.safetensors": NOISE[index : 500_000 + index * 997] for index in range(24)},
    **{f"tokens/{index:02}.json": NOISE[index : index * 97 + 1] for index in range(40)},
}
# Else there is hardly a moment between the first byte and the last; and few connections, for of many that share a rate
# all end their parts at the same time.
SLOW = ("--max-rate=120MB/s", "--processes=1", "--connections=2")
TOTAL = sum(len(body) for body in FILES.values())


@pytest.fixture(scope="module")
def source(object_store: ObjectStore) -> str:
    bucket = object_store.bucket()
    for name, body in FILES.items():
        object_store.put(bucket, f"llama/{name}", body)
    return f"s3://{bucket}/llama/"


def seen(node: Node, directory: str) -> dict[str, bytes] | None:
    """What a pod that starts now would mount; None where there is nothing yet."""
    return node.tree(directory) if (node.cache / directory / "current").exists() else None


def in_cache(node: Node) -> int:
    """Bytes of journal, and entries of all kinds: grows from the first step of a run to the last."""
    return sum(path.stat().st_size if path.name == "journal" else 1 for path in node.cache.rglob("*"))


def killed(process: subprocess.Popen[str], moment: float, how: str) -> bool:
    """Kill it so many seconds from now, its main process alone or with its workers; False when it was done before."""
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        return False
    if how == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=30)  # ends when the last worker has closed the pipe
    return process.returncode == -signal.SIGKILL


def test_fifty_kills_at_random_moments_never_show_half_a_model(
    tmp_path: Path, object_store: ObjectStore, source: str
) -> None:
    """Runs are killed at random moments of what a whole run takes, some in a row; the next goes on, and is compared."""
    dice = random.Random(20261122)  # which step a moment falls on is up to the machine
    node, environment = Node(tmp_path), object_store.environment()
    directory = directory_of(source)
    argument = node.model(source, directory=directory)
    begun = time.monotonic()
    assert node.run(argument, *SLOW, env=environment).code == 0
    whole = time.monotonic() - begun
    kills, resumed, steps = 0, 0, set()
    while kills < KILLS:
        shutil.rmtree(node.cache)
        for _ in range(dice.randint(1, 5)):
            process = node.start(argument, *SLOW, env=environment)
            kills += killed(process, dice.uniform(0, whole), dice.choice(["all", "main"]))
            steps.add(in_cache(node))
            assert seen(node, directory) in (None, FILES)
        last = node.run(argument, env=environment)
        assert last.code == 0, last.stderr
        if last.report.result == "downloaded":
            assert last.message.get("fetched_bytes", 0) + last.message.get("resumed_bytes", 0) == TOTAL
            resumed += "resumed_bytes" in last.message
        assert seen(node, directory) == FILES
    assert len(steps) > KILLS // 5, "the kills all fell on the same step"
    assert resumed > 0
