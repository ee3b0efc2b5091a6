"""`warmpod replay` as people and CI use it."""

from __future__ import annotations

import gzip
import html
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.cli import replay_jobs
from webhook.cli.main import main
from webhook.inventory.snapshot import encode as snapshot
from webhook.report.record import encode

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
TUNING = 'env: [{name: NCCL_DEBUG, value: "%s"}]'
DEPLOYED = builders.policy()
AUDITED = builders.policy(mode="Audit")
OTHER = builders.policy() + builders.policy("  " + TUNING % "INFO", name="a-tuning")
FAILING = builders.policy(
    """
  failurePolicy: %s
  matchConditions: [{name: owner, expression: object.metadata.labels.owner == 'me'}]
  env: [{name: X, value: "1"}]
""",
    name="failing",
)
GENERATED = {"generateName": "llm-7d9f-", "labels": {"app": "vllm"}}


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, ["replay", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*args, "--output=json").stdout)
    return found


class Kept:
    """A directory of records, and policies beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records"
        self.records.mkdir()
        self.deployed = self.policies("deployed", DEPLOYED)
        self.facts = builders.facts(DEPLOYED)

    def policies(self, name: str, *texts: str) -> str:
        directory = self.root / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "policies.yaml").write_text("".join([*texts, builders.NODE_CACHE, builders.CLIENT_PROFILE]))
        return str(directory)

    def record(self, count: int = 1, *, file: str = "a.jsonl", facts: Facts | None = None, minute: int = 0) -> None:
        facts = facts or self.facts
        with (self.records / file).open("ab") as stream:
            for number in range(count):
                sent = builders.gpu_pod(args=["serve"])
                sent["metadata"] = {**GENERATED, "annotations": sent["metadata"]["annotations"]}
                request = builders.request(sent, namespace="team-a" if number % 2 else "default")
                time = START + timedelta(minutes=minute, seconds=number)
                stream.write(encode(request.raw, facts, admit(request, facts), time=time, version="1"))

    def keep(self, identity: str, time: float) -> None:
        data = gzip.compress(snapshot(self.facts.inventory.again(identity, time)))
        (self.records / f"inventory-{identity}.jsonl.gz").write_bytes(data)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    made = Kept(tmp_path)
    made.keep("test", made.facts.inventory.time)
    return made


def test_the_deployed_policies_reproduce_the_records(kept: Kept) -> None:
    kept.record(6)
    result = run(str(kept.records), "--policies", kept.deployed, "--fail-on=changed,unfaithful,laws")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "admissions       6, 2026-11-22 10:00:00 UTC to 2026-11-22 10:00:05 UTC, in 1 file"
    digest = kept.facts.policies.digest[:12]
    assert lines[1] == f"policies         recorded under 1 set, 6 under {digest} itself"
    assert lines[2] == "inventory        6 the recorded one"
    assert lines[3] == "reproduced       6 of the 6 that were decided from the same policies and inventory"
    assert lines[4] == "audit = enforce  proven for 6 of 6"
    assert lines[5] == "findings         none"
    assert lines[7] == "6 pods: no difference"


def test_other_policies_are_told_apart_from_the_records(kept: Kept) -> None:
    kept.record(6)
    result = run(str(kept.records), "--policies", kept.policies("audited", AUDITED))
    assert result.exit_code == 0
    assert "6 same change, other mode" in result.stdout
    assert "default/llm-7d9f-* and others" in result.stdout
    assert run(str(kept.records), "--policies", kept.policies("audited", AUDITED), "--fail-on=changed").exit_code == 1
    found = said(str(kept.records), "--policies", kept.policies("other", OTHER))
    assert found["found"]["changed"] == 6
    assert found["before"] == "as recorded"
    assert [(group["namespaces"], group["count"]) for group in found["groups"]] == [({"default": 3, "team-a": 3}, 6)]


@pytest.mark.parametrize("output", ["table", "json", "markdown"])
def test_two_sets_are_told_apart_on_the_recorded_pods(kept: Kept, output: str) -> None:
    kept.record(4)
    other = kept.policies("other", OTHER)
    result = run(str(kept.records), "--policies", other, "--against", kept.deployed, "--output", output)
    assert result.exit_code == 0
    assert "a-tuning: absent -> matched (Enforce)" in html.unescape(result.stdout)
    if output == "json":
        document = json.loads(result.stdout)
        assert (document["before"], document["after"]) == (kept.deployed, other)
        assert document["reproduced"] == {"comparable": 4, "same": 4}
        assert document["auditEqualsEnforce"] == {"proven": 4, "of": 4}
        assert document["policies"]["recorded"] == {kept.facts.policies.digest: 4}
    if output == "markdown":
        assert result.stdout.startswith("### Warmpod: ")
        assert "- audit = enforce: proven for 4 of 4\n" in result.stdout


def test_policies_of_a_git_revision(kept: Kept) -> None:
    kept.record(2)
    repository = kept.root / "repository"
    kept.policies("repository/policies", DEPLOYED)
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "a"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *command], cwd=repository, check=True, capture_output=True)
    kept.policies("repository/policies", OTHER)
    found = said(str(kept.records), "--policies", str(repository / "policies"), "--against", "main")
    assert found["found"]["changed"] == 2
    assert found["reproduced"] == {"comparable": 2, "same": 2}


@pytest.mark.parametrize(
    ("policy", "fail_on", "code"),
    [
        ("Fail", "denied,errors,laws", 1),
        ("Fail", "denied", 1),
        ("Fail", "laws", 0),
        ("Fail", "none", 0),
        ("Ignore", "errors", 1),
        ("Ignore", "denied", 0),
        ("Ignore", "changed,conflicts", 0),
    ],
)
def test_what_fails_is_chosen(kept: Kept, policy: str, fail_on: str, code: int) -> None:
    kept.record(4)
    failing = kept.policies("failing", DEPLOYED, FAILING % policy)
    result = run(str(kept.records), "--policies", failing, "--against", kept.deployed, "--fail-on", fail_on)
    assert result.exit_code == code, result.output
    assert "policy failing fails" in result.stdout
    assert f"{kept.records}/a.jsonl:1" in result.stdout
    assert f"{kept.records}/a.jsonl:3" not in result.stdout, "two pods of one namespace are told together"


def test_what_failed_before_is_no_finding(kept: Kept) -> None:
    kept.record(2)
    failing = kept.policies("failing", DEPLOYED, FAILING % "Fail")
    result = run(str(kept.records), "--policies", failing, "--against", failing)
    assert result.exit_code == 0
    assert "findings         none" in result.stdout


def test_a_record_that_is_not_reproduced_is_named(kept: Kept) -> None:
    kept.record(3)
    file = kept.records / "a.jsonl"
    first, second, third = file.read_text().splitlines(keepends=True)
    file.write_text(first + second.replace('"allowed":true', '"allowed":false') + third)
    result = run(str(kept.records), "--policies", kept.deployed, "--fail-on=unfaithful")
    assert result.exit_code == 1
    assert "reproduced       2 of the 3" in result.stdout
    [told] = [line for line in result.stdout.splitlines() if line.startswith("1     unfaithful")]
    assert told.endswith("a.jsonl:2")


def test_the_nearest_inventory_is_used_and_told(kept: Kept) -> None:
    kept.record(2, facts=_at(kept, "gone", 40.0))
    found = said(str(kept.records), "--policies", kept.deployed)
    assert found["inventories"] == {"exact": 0, "nearest": 2, "none": 0, "mostSecondsApart": 40.0}
    assert found["reproduced"] == {"comparable": 0, "same": 0}
    (kept.records / "inventory-test.jsonl.gz").unlink()
    result = run(str(kept.records), "--policies", kept.deployed)
    assert "2 not there (decided without placement)" in result.stdout
    given = kept.root / "inventory.jsonl"
    given.write_bytes(snapshot(kept.facts.inventory.again("gone", 0.0)))
    found = said(str(kept.records), "--policies", kept.deployed, "--inventory", str(given))
    assert found["inventories"]["exact"] == 2
    assert found["found"]["changed"] == 0


def _at(kept: Kept, identity: str, later: float) -> Facts:
    facts = kept.facts
    inventory = facts.inventory.again(identity, facts.inventory.time + later)
    return Facts(facts.policies, facts.settings, inventory, facts.namespace_labels, placement_usable=True)


def test_only_what_is_not_older(kept: Kept) -> None:
    kept.record(2)
    kept.record(1, minute=30)
    found = said(str(kept.records), "--policies", kept.deployed, "--since=2026-11-22T10:20:00Z")
    assert (found["admissions"], found["from"]) == (1, "2026-11-22T10:30:00Z")


def test_several_processes_say_what_one_says(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_jobs, "CHUNK_LINES", 5)
    kept.record(23)
    kept.record(11, file="b.jsonl", facts=_at(kept, "gone", 3.0))
    with (kept.records / "b.jsonl").open("ab") as stream:
        stream.write(b"torn")
    args = (str(kept.records), "--policies", kept.policies("other", OTHER), "--against", kept.deployed)
    one, two = (run(*args, "--output=json", "--jobs", jobs) for jobs in ("1", "2"))
    assert one.exit_code == two.exit_code == 0
    assert one.stdout == two.stdout
    assert one.stderr == two.stderr
    assert json.loads(one.stdout)["admissions"] == 34
    assert "b.jsonl:12: not a record" in one.stderr


def test_policies_that_change_meanwhile_are_not_mixed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.record(1)
    monkeypatch.setattr(replay_jobs.Plan, "sealed", lambda plan, *_: replay_jobs.Plan(plan.records, plan.policies))
    result = run(str(kept.records), "--policies", kept.deployed, "--jobs=2")
    assert result.exit_code == 2
    assert "the policies changed while they were read" in result.stderr


def test_nothing_to_replay(kept: Kept) -> None:
    for output in ("table", "json"):
        result = run(str(kept.records), "--policies", kept.deployed, "--output", output)
        assert result.exit_code == 3
        assert "no recorded admission" in result.stderr
    assert json.loads(result.stdout)["admissions"] == 0


def test_hostile_names_reach_no_terminal(kept: Kept) -> None:
    sent = builders.gpu_pod()
    sent["metadata"]["name"] = "a\x1b[2J|`<b>\u202e@all"
    request = builders.request(sent)
    line = encode(request.raw, kept.facts, admit(request, kept.facts), time=START, version="1")
    (kept.records / "a.jsonl").write_bytes(line)
    for output in ("table", "markdown"):
        result = run(str(kept.records), "--policies", kept.policies("audited", AUDITED), "--output", output)
        assert "\x1b[2J" not in result.stdout
        assert "\u202e" not in result.stdout
    assert "<b>" not in result.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"records": "none"}, "there is no such directory"),
        ({"--policies": "none"}, "none"),
        ({"--against": "no-such-revision"}, "no-such-revision"),
        ({"--fail-on": "changes"}, "'changes' is no kind of finding"),
        ({"--fail-on": ""}, "--fail-on"),
        ({"--since": "yesterday"}, "'yesterday' is no time"),
        ({"--inventory": "none.json"}, "none.json"),
    ],
    ids=["records", "policies", "against", "fail-on", "nothing to fail on", "since", "inventory"],
)
def test_what_could_not_run(kept: Kept, change: dict[str, str], message: str) -> None:
    kept.record(1)
    records = str(kept.root / change.pop("records", "records"))
    options = {"--policies": kept.deployed, **change}
    result = run(records, *(part for pair in options.items() for part in pair))
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_policies_with_errors_decide_nothing(kept: Kept) -> None:
    kept.record(1)
    broken = kept.policies("broken", DEPLOYED.replace("images:", "imagse:"))
    result = run(str(kept.records), "--policies", broken)
    assert result.exit_code == 2
    assert "did you mean" in result.stderr
    shutil.rmtree(broken)
