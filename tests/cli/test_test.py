"""`warmpod test` over WarmTest documents: how they are found, what they may say, and what a failure looks like."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from click.testing import CliRunner, Result

from webhook.cli import trial_runs
from webhook.cli.discovery import trials
from webhook.cli.main import main

POLICIES = Path(__file__).parents[2] / "policies"
POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: tuning}
spec:
  mode: Enforce
  matchConditions: [{name: named, expression: "object.metadata.name.startsWith('llm')"}]
  images: {placement: Prefer}
  env: [{name: A, value: b}]
"""
POD = {
    "metadata": {"name": "llm-0"},
    "spec": {"containers": [{"name": "app", "image": "vllm:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
}


def warm_test(*cases: Any, name: str = "tuning", **spec: Any) -> str:
    test = {"apiVersion": "warmpod.dev/v1alpha1", "kind": "WarmTest", "metadata": {"name": name}}
    given = [{"name": f"case {index}", **case} for index, case in enumerate(cases)]
    return yaml.safe_dump({**test, "spec": {"defaults": {"pod": POD}, "cases": given, **spec}}, sort_keys=False)


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "policy.yaml").write_text(POLICY)
    return directory


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def results(*arguments: str | Path) -> dict[str, tuple[str, list[str]]]:
    output = json.loads(invoke(*arguments, "--output", "json").stdout)
    return {case["name"]: (case["result"], case["failures"]) for case in output["cases"]}


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "file", ["a.test.yaml", "a.test.yml", "a.yaml", "cases/a.yaml", "cases/a/b.test.yaml", "tests/deep/a.yaml"]
)
def test_it_is_found_wherever_it_stands_and_no_policy_reader_minds(file: str, policies: Path) -> None:
    write(policies / file, warm_test({"expect": {"matched": ["tuning"]}}))
    assert results(policies) == {"tuning/case 0": ("passed", [])}
    assert results(policies / file) == {"tuning/case 0": ("passed", [])}
    linted = CliRunner().invoke(main, ["lint", str(policies), "--output", "json"])
    assert [each["code"] for each in json.loads(linted.stdout)["problems"] if each["code"].startswith("P")] == []


def test_a_test_in_the_file_of_its_policy(policies: Path) -> None:
    file = policies / "policy.yaml"
    file.write_text(f"{POLICY}---\n{warm_test({'expect': {'env': {'app': {'A': 'b'}}}})}")
    assert results(policies) == {"tuning/case 0": ("passed", [])}


def test_both_forms_beside_each_other_run_once(tmp_path: Path) -> None:
    directory = tmp_path / "steering"
    shutil.copytree(POLICIES / "image-steering", directory, ignore=shutil.ignore_patterns("*.test.yaml"))
    write(directory / "cases" / "more.yaml", warm_test({"expect": {"matched": ["image-steering"]}}))
    count = len(list((POLICIES / "image-steering" / "cases").iterdir()))
    found = results(directory, directory / "cases", directory / "cases" / "more.yaml")
    assert len(found) == count + 1
    assert {result for result, _ in found.values()} == {"passed"}


def test_what_a_case_may_say_of_its_world(policies: Path) -> None:
    write(policies / "tests" / "pods" / "pod.yaml", yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **POD}))
    template = {"metadata": {}, "spec": POD["spec"]}
    workload = {
        "apiVersion": "x/v1",
        "kind": "Group",
        "metadata": {"name": "llm", "namespace": "team"},
        "spec": {"leader": {"spec": {"containers": [{"name": "cpu"}]}}, "worker": template},
    }
    nodes = [{"name": "a", "images": ["vllm:1"], "labels": {"zone": "a"}}, {"name": "b", "labels": {"zone": "b"}}]
    skipped = {"tuning": "no container requests an accelerator"}
    write(
        policies / "tests" / "world.test.yaml",
        warm_test(
            {"pod": "pods/pod.yaml", "expect": {"changes": ["env"]}},
            {"workload": workload, "expect": {"skipped": skipped}},
            {"workload": workload, "template": "spec.worker", "expect": {"errored": {"tuning": "condition named*"}}},
            {"merge": {"metadata": {"name": "other"}}, "expect": {"skipped": {"tuning": "condition named is false"}}},
            {
                "namespaceLabels": {"warmpod.dev/mode": "Audit"},
                "expect": {"unchanged": True, "would": {"changes": ["env"]}},
            },
            {"inventory": {"nodes": nodes}, "expect": {"changes": ["env", "placement"], "secondsSaved": {"min": 100}}},
            {"inventory": {"nodes": nodes, "sizes": {"vllm:1": "2G"}}, "expect": {"secondsSaved": {"max": 30}}},
            {
                "inventory": {"nodes": nodes},
                "merge": {"spec": {"nodeSelector": {"zone": "b"}}},
                "expect": {"changes": ["env"]},
            },
            {
                "inventory": {"schema": 2, "id": "x", "time": "2026-01-01T00:00:00Z", "nodes": []},
                "expect": {
                    "pod": {"metadata.annotations[warmpod.dev/decision]": "policies=tuning seconds=0 inventory=x"}
                },
            },
        ),
    )
    assert {name: found for name, found in results(policies).items() if found[0] != "passed"} == {}


def test_policies_from_elsewhere_are_taken_together(policies: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other" / "more.yaml", POLICY.replace("tuning", "more"))
    test = warm_test(
        {"expect": {"matched": ["tuning", "more"]}}, policies=[f"../{policies.name}", "../other/more.yaml"]
    )
    write(tmp_path / "suite" / "both.test.yaml", test)
    assert results(tmp_path / "suite") == {"tuning/case 0": ("passed", [])}
    other.unlink()
    result, (failure,) = results(tmp_path / "suite")["tuning/case 0"]
    assert (result, "other/more.yaml" in failure) == ("failed", True)


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("matched: [tuning]", "matchd: [tuning]"), 9, 'P010|unknown field "matchd"; did you mean "matched"?'),
        (("expect:\n", "expect: {}\n    extra:\n"), 8, "expects nothing, so it could not fail"),
        (("[tuning]", "tuning"), 9, "must be a list"),
        (("matched: [tuning]", "pod: {a..b: 1}"), 9, "not a path"),
        (("matched: [tuning]", "pod: {'[': 1}"), 9, "not a path"),
        (("kind: WarmTest", "kind: WarmTests"), 1, "a file of this name holds WarmTests alone"),
        (("v1alpha1", "v2"), 1, "a file of this name holds WarmTests alone"),
        (("cases:", "cases: []\n  policies:"), 6, "must not be empty"),
        (("cases:", "cases: ["), 0, "not YAML"),
        (
            ("{pod: {metadata: {name: llm}, spec: {containers: [{name: app}]}}}", "{pod: 1}"),
            5,
            "must be an object, or the path of a file that holds one",
        ),
    ],
    ids=["field", "nothing", "type", "path", "bracket", "kind", "version", "empty", "syntax", "pod"],
)
def test_a_fault_of_the_file_is_a_failure_with_its_place(
    change: tuple[str, str], line: int, message: str, policies: Path
) -> None:
    text = """apiVersion: warmpod.dev/v1alpha1
kind: WarmTest
metadata: {name: t}
spec:
  defaults: {pod: {metadata: {name: llm}, spec: {containers: [{name: app}]}}}
  cases:
  - name: one
    expect:
      matched: [tuning]
"""
    assert change[0] in text
    file = write(policies / "t.test.yaml", text.replace(*change, 1))
    result = invoke(policies)
    assert result.exit_code == 1
    (case,) = json.loads(invoke(policies, "--output", "json").stdout)["cases"]
    assert case["result"] == "failed"
    (failure,) = case["failures"]
    assert message.rpartition("|")[2] in failure
    if line:
        assert failure.startswith(f"{file}:{line}:")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\xff", "may not stand in a policy file"),
        (b"", "no WarmTest in it"),
        (b"a: &a [*a]", "refers to what contains it"),
        (None, "No such file or directory"),
    ],
    ids=["bytes", "empty", "circle", "dead-link"],
)
def test_a_file_that_cannot_be_read_is_a_failure(data: bytes | None, message: str, policies: Path) -> None:
    file = policies / "t.test.yaml"
    if data is None:
        file.symlink_to(policies / "absent")
    else:
        file.write_bytes(data)
    (policies / "loop").symlink_to(policies)
    ((name, (result, (failure,))),) = results(policies).items()
    assert (name, result) == ("t.test.yaml/(the file)", "failed")
    assert message in failure


def test_pods_that_are_none_fail_or_pass_by_what_is_decided(policies: Path) -> None:
    odd = [
        {"spec": {"containers": [1, {"name": "x"}]}},
        {"spec": {"containers": []}},
        {"spec": {"containers": [{"name": "v", "env": 5, "args": {"a": "b"}}]}},
    ]
    expect = {"matched": [], "skipped": {"tuning": "*"}, "pod": {"a.b[c]": None, "spec.volumes": []}}
    write(policies / "t.test.yaml", warm_test(*({"pod": pod, "expect": expect} for pod in odd)))
    assert {found for found, _ in results(policies).values()} == {"passed"}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"pod": "absent.yaml"}, "absent.yaml: No such file or directory"),
        ({"workload": {"kind": "Service"}}, "workload: no pod in it"),
        ({"template": "spec.x"}, "pod: no pod template at 'spec.x'; there: "),
        (
            {"inventory": {"nodes": [], "sizes": {"a:1": "1G"}}},
            "inventory.sizes: no node of this inventory holds 'a:1'",
        ),
        ({"inventory": {"schema": 1}}, "inventory: its schema is 1"),
    ],
    ids=["file", "no-pod", "template", "sizes", "schema"],
)
def test_a_world_that_cannot_be_made_names_its_case(case: Any, message: str, policies: Path) -> None:
    file = write(policies / "t.test.yaml", warm_test({**case, "expect": {"matched": []}}))
    result, (failure,) = results(policies)["tuning/case 0"]
    assert result == "failed"
    assert failure.startswith(f"{file}:")
    assert message in failure


def test_a_failure_says_where_what_is_there_instead_and_what_was_decided(policies: Path) -> None:
    file = write(policies / "t.test.yaml", warm_test({"expect": {"env": {"app": {"A": "c"}}, "matched": ["tunin"]}}))
    text = file.read_text().splitlines()
    env, matched = (next(n for n, line in enumerate(text, 1) if word in line) for word in ("A: c", "- tunin"))
    result = invoke(policies)
    assert result.exit_code == 1
    assert (
        result.stdout
        == f"""CASE           RESULT
tuning/case 0  failed

tuning/case 0:
{file}:{env}:14: env: A of container app should be "c", is "b"
{file}:{matched}:9: matched: there is no policy "tunin" here; did you mean "tuning"?
what was decided:
  matched  tuning (Enforce): sets 1 env on 1 container; {_OBSTACLE}
  changes: sets A
    --- as sent
    +++ decided
    @@ -2,6 +2,8 @@
     kind: Pod
     metadata:
       name: llm-0
    +  annotations:
    +    warmpod.dev/decision: policies=tuning seconds=0 inventory=none
     spec:
       containers:
         - name: app
    @@ -9,3 +11,6 @@
           resources:
             limits:
               nvidia.com/gpu: '1'
    +      env:
    +        - name: A
    +          value: b
"""
    )
    assert result.stderr == "note: 1 failed\n"


_OBSTACLE = "placement: no inventory that can be trusted"


def test_a_case_that_no_policy_could_fail_is_noted(policies: Path) -> None:
    write(policies / "t.test.yaml", warm_test({"merge": {"metadata": {"name": "x"}}, "expect": {"unchanged": True}}))
    result = invoke(policies)
    assert result.exit_code == 0
    assert "note: tuning/case 0: this case would pass without any policy" in result.stderr


def test_another_injector_that_turns_a_condition_is_noted(policies: Path) -> None:
    file = policies / "policy.yaml"
    file.write_text(POLICY.replace("object.metadata.name.startsWith('llm')", "object.spec.containers.size() == 1"))
    write(policies / "t.test.yaml", warm_test(*[{"expect": {"matched": ["tuning"]}}] * 8))
    result = invoke(policies)
    assert result.exit_code == 0
    assert "condition named is false" in result.stderr
    assert "first-container" in result.stderr


def test_hostile_names_reach_neither_terminal_nor_report_as_they_are(policies: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    pod = {"metadata": {"name": "\x85]]><b>"}, "spec": POD["spec"]}
    write(policies / "t.test.yaml", warm_test({"pod": pod, "expect": {"pod": {"metadata.name": "\u202ex"}}}))
    result = invoke(policies, "--junit", report)
    assert result.exit_code == 1
    assert "\u202e" not in result.output
    (suite,) = ET.fromstring(report.read_bytes())
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        (["tuning/*"], {"tuning/case 0", "tuning/case 1"}),
        (["case 1"], {"tuning/case 1"}),
        (["*0", "*1"], {"tuning/case 0", "tuning/case 1"}),
    ],
)
def test_filters(globs: list[str], found: set[str], policies: Path) -> None:
    write(policies / "t.test.yaml", warm_test(*[{"expect": {"matched": ["tuning"]}}] * 2))
    assert set(results(policies, *(word for glob in globs for word in ("--filter", glob)))) == found


def test_a_filter_that_nothing_fits_is_nothing_to_do(policies: Path) -> None:
    write(policies / "t.test.yaml", warm_test({"expect": {"matched": ["tuning"]}}))
    for more in ([], ["--coverage"], ["--output", "json"]):
        result = invoke(policies, "--filter", "other", *more)
        assert (result.exit_code, "is like other" in result.stderr) == (3, True)
    assert invoke(policies, "--filter", "other", "--fail-under", "1").exit_code == 1


def test_coverage_names_what_no_case_exercises_and_fails_under(policies: Path) -> None:
    write(policies / "t.test.yaml", warm_test({"expect": {"matched": ["tuning"]}}))
    write(policies / "idle.yaml", POLICY.replace("tuning", "idle").replace("name.startsWith('llm')", "name == 'x'"))
    found = json.loads(invoke(policies, "--coverage", "--output", "json").stdout)["coverage"]
    missing = {(each["policy"], each["what"]) for each in found["elements"] if not each["cases"]}
    assert missing == {
        ("tuning", "skipped"),
        ("tuning", "condition named: false"),
        ("tuning", "images: placement"),
        ("idle", "matched"),
        ("idle", "condition named: true"),
        ("idle", "images: placement"),
        ("idle", "env A"),
    }
    assert (found["exercised"], found["declared"], found["percent"]) == (5, 12, 41.6)
    shown = invoke(policies, "--fail-under", "41.7")
    assert shown.exit_code == 1
    assert "error: the cases exercise 41.6 % of the policies, --fail-under wants 41.7 %\n" in shown.stderr
    assert re.search(r"^images: placement +tuning +\S*policies/policy\.yaml:8$", shown.stdout, re.MULTILINE)
    assert invoke(policies, "--fail-under", "41.6").exit_code == 0


def test_thorough_names_what_could_go(policies: Path) -> None:
    case = {"expect": {"matched": ["tuning"]}}
    other = {"merge": {"metadata": {"name": "x"}}, "expect": {"skipped": {"tuning": "*"}}}
    write(policies / "t.test.yaml", warm_test(case, other))
    found = json.loads(invoke(policies, "--thorough", "--output", "json").stdout)["coverage"]
    assert {each["what"] for each in found["unmissed"]} == {"images: placement", "env A"}
    shown = invoke(policies, "--thorough").stdout
    assert "COULD GO AND NO CASE WOULD FAIL" in shown
    write(policies / "u.test.yaml", warm_test({"expect": {"env": {"app": {"A": "b"}}}}, name="u"))
    found = json.loads(invoke(policies, "--thorough", "--output", "json").stdout)["coverage"]
    assert {each["what"] for each in found["unmissed"]} == {"images: placement"}


def test_processes_and_one_process_come_to_the_same(policies: Path) -> None:
    cases = [{"expect": {"env": {"app": {"A": "b" if index % 7 else "c"}}}} for index in range(60)]
    write(policies / "t.test.yaml", warm_test(*cases))
    found = trials([str(policies)])
    alone = trial_runs.run(found, observe=True)
    together = trial_runs.run(found, observe=True, jobs=3)
    assert [(each.name, each.result, each.failures, each.seen) for each in together] == [
        (each.name, each.result, each.failures, each.seen) for each in alone
    ]
    assert sum(each.result == "failed" for each in alone) == 9


def test_schema_of_one_kind() -> None:
    found = json.loads(CliRunner().invoke(main, ["schema", "--kind", "WarmTest"]).stdout)
    assert found["title"] == "Warmpod WarmTest"
    assert CliRunner().invoke(main, ["schema", "--kind", "WarmTst"]).exit_code == 2


def test_the_shipped_policies_are_exercised_and_nothing_of_them_could_go() -> None:
    output = json.loads(invoke(POLICIES, "--thorough", "--output", "json").stdout)
    assert output["failed"] == 0
    assert output["coverage"]["percent"] == 100
    assert output["coverage"]["unmissed"] == []
    assert [case["name"] for case in output["cases"] if case["notes"]] == []
