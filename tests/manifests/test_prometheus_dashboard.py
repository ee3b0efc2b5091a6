"""The dashboard: what it asks for exists, any Prometheus can be chosen, and panels stand beside one another."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import debian
from tests.manifests.exposition import API_SERVER, matchers, metrics_of, our_samples

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "manifests" / "grafana" / "warmpod.json").read_text()
)
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
EXPRESSIONS = {
    f"{panel['title']} {target['refId']}": str(target["expr"]) for panel in PANELS for target in panel["targets"]
}
VARIABLES = {"__range", "__rate_interval", "datasource"}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_what_a_panel_asks_for_exists(expression: str) -> None:
    assert metrics_of(expression)
    assert metrics_of(expression) <= our_samples().keys() | API_SERVER
    for metric, label, value in matchers(expression):
        if metric in our_samples():
            assert any(labels.get(label) == value for labels in our_samples()[metric]), (metric, label, value)


def test_every_metric_of_ours_that_can_go_wrong_is_shown() -> None:
    shown = {metric for expression in EXPRESSIONS.values() for metric in metrics_of(expression)}
    must = {name for name in our_samples() if re.search(r"problem|refused|failed|failure|violation|_ok$|ready", name)}
    hidden = {"warmpod_controller_ready", "warmpod_controller_reports_refused_total"}
    assert must - hidden <= shown


def test_it_works_with_any_prometheus() -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["datasource"] == wanted
        assert all(target["datasource"] == wanted for target in panel["targets"])
    # An id is another Grafana's: importing it would overwrite whatever has it there.
    assert DASHBOARD["id"] is None
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) <= VARIABLES


def test_panels_are_told_apart_and_stand_beside_one_another() -> None:
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_prometheus_can_parse_every_expression(tmp_path: Path) -> None:
    debian.need("prometheus", programs=("promtool",))
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__(range|rate_interval)", "5m", expression)}
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
