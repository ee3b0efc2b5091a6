"""What `warmpod doctor` prints and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.doctor.installation import PODS, healthy, replica, unanswered
from webhook.cli import doctor
from webhook.cli.main import main
from webhook.doctor.evidence import Absent, Barred, Evidence, Passage, Seen

CASES: dict[str, tuple[Evidence, int, str]] = {
    "healthy": (healthy(), 0, "Warmpod works: pods are reviewed in Enforce\n"),
    "a warning": (
        replace(healthy(), replicas=Seen([replica(PODS[0], snapshot={"usable": False, "age": 600})])),
        1,
        "Warmpod works: pods are reviewed in Enforce; but there is no placement",
    ),
    "broken": (
        unanswered(healthy(), registration=Absent()),
        1,
        "GPU pods start as without Warmpod, because the registration",
    ),
    "unknown": (replace(healthy(), probe=Barred("create pods")), 2, "nobody knows whether GPU pods are reviewed"),
    "unknown beside": (replace(healthy(), lease=Barred("get leases")), 0, "Warmpod works"),
}
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command over evidence; gathering it is tested on a real API server."""

    def invoke(evidence: Evidence, *flags: str) -> tuple[int, str]:
        monkeypatch.setattr(doctor, "_gathered", lambda *_: evidence)
        done = CliRunner().invoke(main, ["doctor", *flags])
        return done.exit_code, done.stdout

    return invoke


@pytest.mark.parametrize(("evidence", "code", "first"), CASES.values(), ids=CASES.keys())
def test_the_verdict_comes_first_and_decides_the_exit_code(run: Run, evidence: Evidence, code: int, first: str) -> None:
    ended, text = run(evidence)
    assert ended == code
    assert text.startswith(first)


def test_json_has_everything(run: Run) -> None:
    ended, text = run(unanswered(healthy(), passage=Seen(Passage(0, "nothing", reached=False))), "--output=json")
    found = json.loads(text)
    assert ended == 1
    assert found["verdict"]["works"] is False
    assert found["findings"][0]["name"] == "network"
    assert found["findings"][0]["advice"]
    assert found["time"] == "2026-11-22T03:00:00Z"
    assert {one["state"] for one in found["findings"]} <= {"failure", "warning", "unknown", "note", "ok"}


def test_texts_of_others_cannot_move_the_cursor(run: Run) -> None:
    evil = replica(PODS[0], controller={"problems": ["\x1b[2Jall is well\nok       probe"]})
    _, text = run(replace(healthy(), replicas=Seen([evil])))
    assert "\x1b" not in text
    assert "\\x1b[2Jall is well ok probe" in text
    assert len([line for line in text.splitlines() if line.startswith("ok       probe")]) == 1


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "--kubeconfig", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "there is no kubeconfig at" in done.stderr
