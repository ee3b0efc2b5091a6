"""`warmpod lint` as people, scripts and code scanning read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from webhook.cli.findings import DOCS, github_text
from webhook.cli.main import main
from webhook.lint.lint import CODES
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Problem

HEAD = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: p}\nspec:\n"
BAD = f"{HEAD}  images: {{placement: Require}}\n  failurePolicy: Fail\n"
INFO = f"{HEAD}  images: {{placement: Prefer}}\n  failurePolicy: Fail\n"
MESSAGE = "Require keeps pods pending while no warm node has room: autoscalers cannot make a warm node"
ROOT = Path(__file__).parents[2]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["lint", *map(str, arguments)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_finding_shows_its_line(here: Path) -> None:
    (here / "p.yaml").write_text(BAD)
    result = invoke("p.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:4] == [
        f"p.yaml:5:23: error W001 spec.images.placement: {MESSAGE}",
        "    5 |   images: {placement: Require}",
        "      |                       ^^^^^^^",
        "    hint: use Prefer, or set acknowledge: [RequireBlocksScaleFromZero]",
    ]
    assert "p.yaml:6:18: info W033 [*] spec.failurePolicy" in result.stdout
    assert result.stderr == "note: 1 policy: 1 error, 0 warnings, 1 info; --fix mends 1 of them [*]\n"


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 1)], ids=["lenient", "strict"])
def test_what_is_only_good_to_know_fails_where_that_is_asked(arguments: list[str], code: int, here: Path) -> None:
    (here / "p.yaml").write_text(INFO)
    assert invoke("p.yaml", *arguments).exit_code == code


def test_several_places_are_one_set(here: Path) -> None:
    (here / "a").mkdir()
    (here / "a" / "p.yaml").write_text(f"{HEAD}  images: {{placement: Prefer}}\n  clientProfiles: [fast]\n")
    (here / "b.yaml").write_text(
        "apiVersion: warmpod.dev/v1alpha1\nkind: ClientProfile\nmetadata: {name: fast}\n"
        "spec: {env: {AWS_MAX_ATTEMPTS: '10'}}\n"
    )
    assert invoke("a", "b.yaml", "a/p.yaml").exit_code == 0
    assert "P031" in invoke("a").stdout
    (here / "empty").mkdir()
    assert invoke("a", "b.yaml", "empty").exit_code == 0
    assert invoke("empty").exit_code == 3
    assert invoke("a", "nowhere").exit_code == 2


def test_long_lines_and_hostile_ones_are_shown_short_and_safe(here: Path) -> None:
    text = f"{HEAD}  images: {{placement: Prefer}}\n  env: [{{name: A, value: '{'é' * 300}'}}, {{name: B, value: 5}}]\n"
    (here / "p.yaml").write_text(text)
    excerpt = invoke("p.yaml").stdout.splitlines()[1:3]
    assert all(len(line) < 150 for line in excerpt)
    assert excerpt[0][excerpt[1].index("^")] == "5"
    (here / "p.yaml").write_text(text.replace("5", "\u202e5"))
    assert "\u202e" not in invoke("p.yaml").output


def test_json_has_everything(here: Path) -> None:
    (here / "p.yaml").write_text(BAD.replace("Fail\n", "Fail # warmpod-lint: ignore W033 -- CEL comes\n"))
    found = json.loads(invoke("p.yaml", "--output", "json").stdout)
    assert (found["policies"], found["errors"], found["warnings"], found["infos"]) == (1, 1, 0, 0)
    (problem,) = found["problems"]
    assert (problem["docs"], problem["fixable"]) == (f"{DOCS}#w001", False)
    (ignored,) = found["ignored"]
    assert (ignored["code"], ignored["fixable"], ignored["reason"]) == ("W033", False, "CEL comes")
    assert json.loads(invoke("p.yaml", "--output", "json", "--no-ignore").stdout)["ignored"] == []


def sarif(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(*arguments, "--output", "sarif").stdout)
    assert found["version"] == "2.1.0"
    (run,) = found["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_has_all_rules_and_a_place_for_every_result(here: Path) -> None:
    (here / "dir with é").mkdir()
    (here / "dir with é" / "p.yaml").write_text(
        BAD.replace("Fail\n", "Fail # warmpod-lint: ignore W033 -- CEL comes\n") + "---\nx: 1\n"
    )
    run = sarif(".")
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({*CODES, *READING_CODES})
    assert all(rule["helpUri"] == f"{DOCS}#{rule['id'].lower()}" for rule in rules)
    assert [result["ruleId"] for result in run["results"]] == ["W001", "P006", "W033"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "dir%20with%20%C3%A9/p.yaml", "uriBaseId": "%SRCROOT%"}
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1
    assert run["results"][2]["suppressions"] == [{"kind": "inSource", "justification": "CEL comes"}]
    assert "suppressions" not in run["results"][0]


def test_fingerprints_stay_when_lines_move_and_are_never_shared(here: Path) -> None:
    file = here / "p.yaml"
    file.write_text(BAD)
    before = [each["partialFingerprints"] for each in sarif("p.yaml")["results"]]
    file.write_text(f"# a line\n\n{BAD}")
    assert [each["partialFingerprints"] for each in sarif("p.yaml")["results"]] == before
    file.write_text(BAD + "---\nx: 1\n---\nx: 1\n")
    prints = [each["partialFingerprints"]["warmpodFinding/v1"] for each in sarif("p.yaml")["results"]]
    assert len(set(prints)) == len(prints) == 4


def test_sarif_of_nothing_is_a_run_without_results(here: Path) -> None:
    assert sarif(here)["results"] == []


@pytest.mark.usefixtures("here")
def test_a_file_elsewhere_has_its_own_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere") / "p.yaml"
    other.write_text(BAD)
    place = sarif(other)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": other.resolve().as_uri()}


def test_workflow_commands_are_escaped_as_github_reads_them() -> None:
    problem = Problem("W001", "info", "a,b:c%.yaml", 3, 4, "spec.x", "50%\r\n: of, all", "do")
    assert github_text([problem]) == (
        "::notice file=a%2Cb%3Ac%25.yaml,line=3,col=4,title=warmpod W001::spec.x: 50%25%0D%0A: of, all%0Ahint: do\n"
    )


@pytest.mark.parametrize("output", ["json", "sarif", "github", "table"])
def test_hostile_files_fit_every_output(output: str, here: Path) -> None:
    (here / "a\nb.yaml").write_bytes(b"\xff\x1b[31m: ::error::x\n")
    (here / "c.yaml").write_text(f"{HEAD}  '::error::\\x1b]': 1\n  \"\\u202e\": 2\n")
    result = invoke(here, "--output", output)
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    if output in ("json", "sarif"):
        json.loads(result.stdout)
    if output == "github":
        assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in result.stdout.splitlines())


def test_fix_writes_the_file_and_says_so(here: Path) -> None:
    file = here / "p.yaml"
    file.write_text(INFO)
    file.chmod(0o640)
    result = invoke("p.yaml", "--fix", "--diff")
    assert "-  failurePolicy: Fail\n" in result.stdout
    assert result.stderr.startswith("note: would mend p.yaml:6: W033")
    assert file.read_text() == INFO
    result = invoke("p.yaml", "--fix", "--strict")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: mended p.yaml:6: W033")
    assert file.read_text() == INFO.replace("  failurePolicy: Fail\n", "")
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in here.iterdir()] == ["p.yaml"]


def test_fix_keeps_links_and_bytes(here: Path) -> None:
    (here / "real").mkdir()
    target = here / "real" / "p.yaml"
    target.write_bytes(INFO.replace("\n", "\r\n").encode())
    (here / "p.yaml").symlink_to("real/p.yaml")
    invoke("p.yaml", "--fix")
    assert (here / "p.yaml").is_symlink()
    assert target.read_bytes() == INFO.replace("  failurePolicy: Fail\n", "").replace("\n", "\r\n").encode()


def test_pods_are_taken_from_manifests(here: Path) -> None:
    (here / "p.yaml").write_text(INFO.replace("  failurePolicy: Fail\n", ""))
    (here / "pod.yaml").write_text("kind: Service\n")
    assert invoke("p.yaml", "--with", "pod.yaml").exit_code == 0
    assert invoke("p.yaml", "--with", "absent.yaml").exit_code == 2


def test_every_code_has_its_heading() -> None:
    headings = re.findall(r"^## ([NWP]\d+)$", (ROOT / "docs" / "lint.md").read_text(), re.MULTILINE)
    own = sorted(CODES, key=lambda code: (code[0] != "W", code))
    assert headings == [*own, *sorted(READING_CODES)]
