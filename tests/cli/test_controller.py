"""The flags of `warmpod controller`; the process itself is tried in tests/controller."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook.cli.main import main

ROOT = Path(__file__).parents[2]
HEAVY = ("rich", "msgspec", "starlette", "uvicorn", "kubernetes", "aiohttp", "prometheus_client")


@pytest.mark.parametrize("name", ["controller", "images"])
def test_help_imports_nothing_heavy(name: str) -> None:
    script = (
        "import sys\nfrom webhook.cli.main import main\n"
        f"try:\n    main([{name!r}, '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--snapshot FILE is needed"),
        (["--snapshot", "s", "--min-image-bytes", "1 GB"], "write for example 1Gi"),
        (["--snapshot", "s", "--min-image-bytes", "-1Gi"], "is negative"),
        (["--snapshot", "s", "--min-image-bytes", ""], "write for example 1Gi"),
        (["--snapshot", "s", "--label-writes-per-second", "0"], "--label-writes-per-second"),
        (["--snapshot", "s", "--label-writes-per-second", "nan"], "--label-writes-per-second"),
        (["--snapshot", "s", "--max-labels-per-node", "-1"], "--max-labels-per-node"),
        (["--snapshot", "s", "--image-gc-min-age", "nan"], "--image-gc-min-age"),
        (["--snapshot", "s", "--node-status-max-images", "-2"], "--node-status-max-images"),
        (["--snapshot", "s", "--kubeconfig", "/does/not/exist"], "there is no kubeconfig at /does/not/exist"),
        (["--cleanup", "--kubeconfig", "/does/not/exist"], "there is no kubeconfig at /does/not/exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_run_says_why_and_ends_with_2(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "controller", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_of_a_cluster_it_says_what_it_looked_for(tmp_path: Path) -> None:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST")
    }
    done = subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "controller", "--snapshot", str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no cluster to talk to")
    assert "--kubeconfig" in done.stderr


def test_help_shows_every_default() -> None:
    text = re.sub(r"\s+", " ", CliRunner().invoke(main, ["controller", "--help"]).output)
    for default in ("8081", "1Gi", "20", "25.0", "50", "120.0", "warmpod-controller"):
        assert f"default: {default}" in text.replace("warmpod- controller", "warmpod-controller")
