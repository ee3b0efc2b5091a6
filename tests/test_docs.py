"""What a user can write, set or see is documented, and the documents point at things that exist."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from webhook.cli.main import main
from webhook.controller.metrics import Metrics as ControllerMetrics
from webhook.controller.metrics import State
from webhook.hydrator.arguments import parser
from webhook.hydrator.course import Course
from webhook.hydrator.model_argument import _KEYS
from webhook.hydrator.options import OPTIONS, Option
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.request import Wanted
from webhook.hydrator.summary import report
from webhook.kube import names
from webhook.lint.lint import CODES as LINT_CODES
from webhook.policy.problem import CODES as PROBLEM_CODES
from webhook.policy.schema import json_schema
from webhook.server.metrics import Metrics

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "policies").rglob("*.md")])


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def fields(schema: Any) -> Iterator[str]:
    """Every property name our own kinds define, wherever it stands in the schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from fields(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from fields(value)


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


def test_every_field_of_policies_and_their_tests_is_documented() -> None:
    text = page("policies.md") + page("testing.md")
    names_found = set(fields(json_schema(None)))
    assert names_found, "the schema has no properties: this test would pass on anything"
    assert [name for name in sorted(names_found) if f"`{name}`" not in text and f"{name}`" not in text] == []


@pytest.mark.parametrize("code", sorted([*LINT_CODES, *PROBLEM_CODES]))
def test_every_code_is_documented(code: str) -> None:
    assert f"## {code}\n" in page("lint.md")


def test_every_flag_and_its_environment_twin_is_documented() -> None:
    text = page("cli.md") + page("webhook.md") + page("controller.md") + page("sandbox.md")
    missing = []
    for path, command in commands(main):
        for option in command.params:
            if not isinstance(option, click.Option) or option.name == "help" or option.hidden:
                continue
            flag = max(option.opts, key=len)
            if flag not in text:
                missing.append(f"{path} {flag}")
            if option.envvar is None or str(option.envvar) not in text:
                missing.append(f"{path} {flag} ({option.envvar})")
    assert missing == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_every_option_of_the_hydrator_has_a_row_with_its_twin(option: Option) -> None:
    metavar = option.metavar.replace("|", r"\|")
    flag = f"{option.flag} {metavar}" if metavar else option.flag
    assert f"| `{flag}` | `{option.variable}` |" in page("hydrate.md")


def test_every_key_of_a_model_is_documented() -> None:
    text = page("hydrate.md")
    assert [key for key in _KEYS if f"| `{key}` |" not in text and f"| `{key}` (" not in text] == []


@pytest.mark.parametrize("code", Exit, ids=lambda code: code.name)
def test_every_exit_code_of_the_hydrator_is_documented_and_in_its_help(code: Exit) -> None:
    assert re.search(rf"^\| {code:d} \| `{code.name}` \| \S", page("hydrate.md"), re.MULTILINE)
    codes = parser().format_help().partition("exit codes:")[2]
    assert re.search(rf"\b{code:d} \w", codes)


def test_everything_in_last_words_is_documented() -> None:
    course = Course(Wanted("s3://b/m/", "/c", "0" * 16, "m", continues=True))
    for name, value in vars(course).items():
        if type(value) in {int, float}:
            setattr(course, name, 7_000_000_000 if type(value) is int else 7.0)
    course.end("error", HydrationError(Exit.DENIED, "what", "do"))
    told = report([course, course], None).facts
    assert {"seconds", "GBps", "reason", "continued", "failed"} <= told.keys()
    text = page("hydrate.md").partition("## Last words")[2].partition("\n## ")[0]
    assert [name for name in told if f"`{name}`" not in text] == []


def test_policies_of_the_hydrators_page_are_json_and_name_what_messages_name() -> None:
    found = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page("hydrate.md"), re.DOTALL)]
    actions = {statement["Action"] for policy in found for statement in policy["Statement"]}
    assert actions == {"s3:ListBucket", "s3:GetObject", "s3express:CreateSession"}
    code = "".join(path.read_text() for path in (ROOT / "webhook" / "hydrator" / "s3").glob("*.py"))
    assert [action for action in actions if f'"{action}"' not in code] == []


@pytest.mark.parametrize(
    "metrics", [Metrics(), ControllerMetrics(lambda: State(snapshot_age=1.0))], ids=["webhook", "controller"]
)
def test_every_metric_is_documented(metrics: Metrics | ControllerMetrics) -> None:
    rows = set(re.findall(r"^\| `(\w+)`", page("metrics.md"), re.MULTILINE))
    suffixes = {"counter": "_total"}
    families = [f"{family.name}{suffixes.get(family.type, '')}" for family in metrics.registry.collect()]
    assert families
    assert [name for name in families if name.startswith("warmpod") and name not in rows] == []


@pytest.mark.parametrize("flag", ["webhook", "controller"])
def test_a_process_has_all_its_flags_on_its_own_page(flag: str) -> None:
    command = main.get_command(click.Context(main), flag)
    assert command is not None
    text = page(f"{flag}.md")
    flags = [max(one.opts, key=len) for one in command.params if isinstance(one, click.Option)]
    assert [one for one in flags if f"| `{one}" not in text] == []


def test_every_line_of_the_controllers_log_is_documented() -> None:
    log = page("controller.md").partition("## Log")[2]
    messages = {
        message
        for path in (ROOT / "webhook" / "controller").glob("*.py")
        for message in re.findall(r'LOGGER\.(?:info|warning|error)\(\s*"([^"]+)"', path.read_text())
    }
    assert messages
    assert sorted(message for message in messages if message not in log) == []


@pytest.mark.parametrize("name", [v for k, v in vars(names).items() if k.startswith(("ANNOTATION_", "LABEL_"))])
def test_every_annotation_and_label_is_documented(name: str) -> None:
    assert any(name in path.read_text() for path in DOCS), f"{name} is in no page"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#][^)]*)\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target.split("#")[0]).exists(), f"{path}: {target}"


def defined(path: Path) -> set[str]:
    """The tests of a file, as pytest names them."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_every_threat_has_a_defence_and_a_test_that_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text().partition("## What Warmpod defends against")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    threats = [row for row in rows if row[0] != "threat"]
    assert len(threats) > 20
    missing = []
    for threat, defence, shown in threats:
        assert defence
        tests = re.findall(r"`(tests/[^`]+)`", shown)
        assert tests, f"no test shows: {threat}"
        for test in tests:
            path, _, name = test.partition("::")
            if not (ROOT / path).is_file() or name not in defined(ROOT / path):
                missing.append(test)
    assert missing == []


def test_ci_runs_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text()
    setup, test = (re.search(rf"## {title}.*?```\n(.*?)```", readme, re.DOTALL) for title in ("Set up", "Test"))
    assert setup is not None
    assert test is not None
    ran = (ROOT / ".ci" / "run").read_text().splitlines()
    for line in [*setup.group(1).splitlines(), *test.group(1).splitlines()]:
        assert line in ran


def test_no_host_and_no_key_in_the_pins() -> None:
    for path in (ROOT / "requirements").iterdir():
        text = path.read_text()
        assert "://" not in text, path
        assert "--index-url" not in text, path
        assert "--find-links" not in text, path
