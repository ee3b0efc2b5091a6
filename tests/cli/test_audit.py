"""`warmpod audit`, from records and audit logs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.builders import facts, gpu_pod, policy, request
from tests.report.events import AUDIT_WEBHOOK, asked, event, told
from webhook.admission import admit
from webhook.cli.main import main
from webhook.kube import Object
from webhook.report.record import encode

NOW = datetime.now(UTC)
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e'\"&|`"
STRICT = """
  failurePolicy: Fail
  matchConditions: [{name: team, expression: "object.metadata.annotations['team'] == 'ml'"}]
  env: [{name: A, value: b}]
"""

Record = Callable[..., None]


def audit(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)], env={"NO_COLOR": "1", **environment})


def document(*arguments: str | Path) -> dict[str, Any]:
    done = audit(*arguments, "--output", "json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def records(tmp_path: Path) -> Path:
    directory = tmp_path / "records"
    directory.mkdir()
    return directory


@pytest.fixture
def record(records: Path) -> Record:
    """Adds the record of a pod's admission to the directory."""

    def add(
        *texts: str,
        pod: Object | None = None,
        namespace: str = "default",
        age: timedelta = timedelta(0),
        dry_run: bool = False,
        name: str = "llm-0",
    ) -> None:
        sent = pod or gpu_pod()
        sent = {**sent, "metadata": {**sent["metadata"], "name": name}}
        asking, known = request(sent, namespace=namespace, dry_run=dry_run), facts(*texts)
        line = encode(asking.raw, known, admit(asking, known), time=NOW - age, version="0.1.0")
        with (records / "host-1-20260131T000000Z.jsonl").open("ab") as stream:
            stream.write(line)

    return add


def test_records_come_to_a_report(records: Path, record: Record) -> None:
    for number in range(3):
        record(policy(mode="Enforce"), name=f"llm-{number}")
    record(policy(mode="Audit"), namespace="other")
    found = document("--records", records)
    total = found["total"]
    assert (total["pods"], total["changed"], total["wouldChange"]) == (4, 3, 1)
    assert total["secondsSaved"] > 3 * total["secondsToGain"] > 180, "only namespace default has the model somewhere"
    [one] = found["policies"]
    assert one["modes"] == {"Enforce": 3, "Audit": 1}
    assert one["changes"] == {"placement": 3, "hydration": 3, "volumes": 3, "env": 3, "awsConfig": 3}
    assert [(each["name"], each["pods"]) for each in one["namespaces"]] == [("default", 3), ("other", 1)]
    assert [each["name"] for each in found["namespaces"]] == ["default", "other"]
    assert {each["name"] for each in found["workloads"]} == {"llm-0", "llm-1", "llm-2"}
    assert "hydrates weights" in found["workloads"][0]["text"]
    assert (found["findings"], found["skipsKnown"], found["source"]["kind"]) == ([], True, "records")


def test_tables_say_the_same_to_people(records: Path, record: Record) -> None:
    record(policy(mode="Audit"), policy("  env: [{name: A, value: b}]\n", name="other", mode="Off"))
    done = audit("--records", records)
    assert done.exit_code == 0
    assert "1 pod in recorded admissions in " in done.stdout
    assert "0 changed, saving about 0 s; 1 would be changed by policies in Audit" in done.stdout
    assert re.search(r"^llm-serving +Audit +1 +0 +1 ", done.stdout, re.MULTILINE)
    assert re.search(r"^other +1 +mode is Off$", done.stdout, re.MULTILINE)
    assert "Top 1 of 1 workload\n" in done.stdout


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(None, 1), ("denied", 1), ("errors,laws", 1), ("laws, conflicts", 0), ("none", 0)],
    ids=["default", "denied", "errors", "others", "none"],
)
def test_what_fails_is_chosen(fail_on: str | None, code: int, records: Path, record: Record) -> None:
    record(policy(STRICT))
    chosen = [] if fail_on is None else ["--fail-on", fail_on]
    done = audit("--records", records, *chosen)
    assert done.exit_code == code, done.output
    assert "to look at: 1 pod with errors, 1 pod with denied" in done.stdout
    assert re.search(r"^errors +llm-serving +1 +default/Pod/llm-0 ", done.stdout, re.MULTILINE)


def test_a_pod_that_the_api_server_looks_at_again_is_one_pod(records: Path, record: Record) -> None:
    rule = policy(mode="Enforce")
    record(rule)
    once = admit(request(gpu_pod()), facts(rule)).pod
    assert once is not None
    record(rule, pod=once)
    total = document("--records", records)["total"]
    assert (total["pods"], total["changed"]) == (1, 1)


def test_dry_runs_made_no_pod(records: Path, record: Record) -> None:
    record(policy(), dry_run=True)
    record(policy())
    assert document("--records", records)["total"]["pods"] == 1


@pytest.mark.parametrize(
    ("since", "pods"),
    [("2h", 1), ("90m", 1), ("3d", 2), ("52w", 3), ((NOW - timedelta(hours=2)).isoformat(), 1), ("2020-01-01", 3)],
    ids=["hours", "minutes", "days", "weeks", "time", "date"],  # a time's own text differs between test processes
)
def test_since(since: str, pods: int, records: Path, record: Record) -> None:
    for age in (timedelta(days=20), timedelta(days=1), timedelta(minutes=5)):
        record(policy(), age=age)
    assert document("--records", records, "--since", since)["total"]["pods"] == pods


def test_namespaces_are_chosen(records: Path, record: Record) -> None:
    for namespace in ("a", "b", "c"):
        record(policy(), namespace=namespace)
    found = document("--records", records, "--namespace", "a", "--namespace", "c")
    assert [one["name"] for one in found["namespaces"]] == ["a", "c"]


def test_lines_that_cannot_be_read_are_told_and_counted(records: Path, record: Record) -> None:
    record(policy())
    with (records / "host-1-20260131T000000Z.jsonl").open("ab") as stream:
        stream.write(b"torn\n" * 5)
    done = audit("--records", records, "--output", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["source"]["unreadable"] == 5
    assert done.stderr.count("warning:") == 4
    assert "2 more could not be read" in done.stderr


@pytest.mark.parametrize("output", ["table", "json", "html"])
def test_nothing_to_report_on_is_code_3_and_still_a_document(output: str, records: Path) -> None:
    done = audit("--records", records, "--output", output)
    assert done.exit_code == 3
    assert "no pod to report on" in done.stderr
    if output == "json":
        assert json.loads(done.stdout)["total"]["pods"] == 0
    elif output == "html":
        assert "No pod to report on" in done.stdout
    else:
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--records", "absent"], "there is no such directory"),
        (["--audit-log", "absent"], "there is no such file"),
        (["--records", "a", "--audit-log", "b"], "one source at a time"),
        (["--records", "a", "--policies", "b"], "decided already"),
        (["--since", "1h"], "as it is now"),
        (["--records", "a", "--since", "yesterday"], "is no time"),
        (["--records", "a", "--since", "999999w"], "is no time"),
        (["--records", "a", "--fail-on", "error"], "'error' is no kind of finding"),
        (["--records", "a", "--fail-on", ""], "nothing is no kind of finding"),
        (["--records", "a", "--fail-on", "none,laws"], "'none' is no kind of finding"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_with_a_hint(arguments: list[str], said: str) -> None:
    done = audit(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "hint:" in done.stderr


def test_the_environment_may_name_what_other_commands_use(records: Path, record: Record) -> None:
    record(policy())
    done = audit("--records", records, WARMPOD_POLICIES="policies", WARMPOD_AUDIT_LOG="audit.log")
    assert done.exit_code == 0, done.output


def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_bytes(
        event(told(enforced="a", operations="2", changes="placement", seconds="60"))
        + event(told(AUDIT_WEBHOOK, audited="b", would_operations="2", would_changes="env", would_seconds="0"))
        + event(asked())
    )
    return path


def test_an_audit_log_comes_to_a_report(tmp_path: Path) -> None:
    found = document("--audit-log", log(tmp_path))
    total = found["total"]
    assert (total["pods"], total["changed"], total["wouldChange"], total["secondsSaved"]) == (3, 1, 1, 60.0)
    assert [(one["name"], one["matched"]) for one in found["policies"]] == [("a", 1), ("b", 1)]
    assert (found["skipsKnown"], found["earliest"]) == (False, "2026-01-31T12:00:00Z")


def test_an_audit_log_on_stdin(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["audit", "--audit-log", "-"], input=log(tmp_path).read_bytes())
    assert done.exit_code == 0, done.output
    assert "3 pods in the API server's audit log on stdin" in done.stdout


def test_hostile_names_reach_no_terminal(records: Path, record: Record) -> None:
    record(policy(), name=HOSTILE, namespace=HOSTILE)
    done = audit("--records", records)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stdout + done.stderr
    assert r"\x1b[31m\u202e" in done.stdout


class Page(HTMLParser):
    """What a browser sees of a page, and whether every element ends where it should."""

    VOID = frozenset({"meta", "br", "rect", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(records: Path) -> tuple[str, Page]:
    done = audit("--records", records, "--output", "html")
    found = Page()
    found.feed(done.stdout)
    found.close()
    assert found.open == []
    return done.stdout, found


def test_a_page_needs_nothing_else_and_lets_nothing_in(records: Path, record: Record) -> None:
    record(policy(mode="Audit"), policy(STRICT, name="strict"), name=HOSTILE, namespace=HOSTILE)
    record(policy(mode="Audit"))
    text, found = page(records)
    assert "script" not in found.tags
    assert not {"img", "link", "iframe", "object", "a"} & set(found.tags)
    assert not {"style", "src", "href", "onload", "onclick", "onerror"} & found.attributes
    assert text.isascii()
    assert r"<script>alert(1)</script>\x1b[31m\u202e'" in found.text
    assert re.search(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'", text)


def test_the_sheet_of_styles_is_the_one_that_the_page_allows(records: Path, record: Record) -> None:
    record(policy())
    text, _ = page(records)
    sheet = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    allowed = re.search(r"style-src 'sha256-([^']+)'", text)
    assert sheet is not None
    assert allowed is not None
    assert base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode() == allowed[1]


def test_a_page_has_what_the_report_has(records: Path, record: Record) -> None:
    record(policy(mode="Audit"), policy("  env: [{name: A, value: b}]\n", name="tuned"))
    record(policy(STRICT), namespace="strict")
    _, found = page(records)
    for text in (
        "llm-serving",
        "tuned",
        "strict",
        "hydrates weights",
        "Top workloads",
        "errors",
        "denied",
        "Time saved",
    ):
        assert text in found.text, text
    assert "svg" in found.tags


def test_a_page_of_one_pod_that_nothing_is_done_to(records: Path, record: Record) -> None:
    record(policy("  matchConditions: [{name: never, expression: 'false'}]\n  env: [{name: A, value: b}]\n"))
    _, found = page(records)
    assert "No pod is changed, and none would be" in found.text
    assert "Top workloads" not in found.text
    assert "not for 1 pod" in found.text


def test_records_of_other_operations_are_no_pods(records: Path) -> None:
    sent = gpu_pod()
    asking, known = request(sent), facts()
    update = replace(asking, operation="UPDATE", raw={**asking.raw, "operation": "UPDATE", "oldObject": sent})
    line = encode(update.raw, known, admit(update, known), time=NOW, version="0.1.0")
    (records / "a.jsonl").write_bytes(line)
    assert document("--records", records)["total"]["pods"] == 0
