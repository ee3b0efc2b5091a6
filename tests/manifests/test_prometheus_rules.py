"""The alerts: made of metrics that exist, each with its runbook, and each firing exactly when it should.

Prometheus' own promtool evaluates them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import debian
from tests.manifests.exposition import API_SERVER, matchers, metrics_of, our_samples

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests" / "components" / "prometheus" / "prometheusrule.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["spec"]["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES}
OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_component_has_them() -> None:
    kustomization = yaml.safe_load((FILE.parent / "kustomization.yaml").read_text())
    assert FILE.name in kustomization["resources"]
    assert len(ALERTS) == len(RULES) > 15


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    page, _, anchor = annotations["runbook_url"].partition("#")
    assert page.endswith("/docs/operations.md")
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings, "its runbook is a section of docs/operations.md"


def test_every_runbook_is_of_an_alert() -> None:
    headings = re.findall(r"^#+ (Warmpod[A-Z]\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_every_metric_of_an_alert_exists_with_its_labels(name: str) -> None:
    expression = ALERTS[name]["expr"]
    assert metrics_of(expression) <= our_samples().keys() | API_SERVER
    for metric, label, value in matchers(expression):
        if metric in our_samples():
            assert any(labels.get(label) == value for labels in our_samples()[metric]), (metric, label, value)


HEALTHY: Mapping[str, str] = {
    'apiserver_admission_webhook_fail_open_count{name="pods.warmpod.dev",instance="a"}': "7x90",
    'apiserver_admission_webhook_fail_open_count{name="check.example.com",instance="a"}': "0+1x90",
    'apiserver_admission_webhook_rejection_count{name="check.example.com",instance="a"}': "0+1x90",
    'warmpod_ready{pod="a"}': "1x90",
    'warmpod_ready{pod="b"}': "1x90",
    'warmpod_controller_replicas{state="serving",pod="a"}': "2x90",
    'warmpod_controller_replicas{state="not-ready",pod="a"}': "0x90",
    'warmpod_review_duration_seconds_bucket{le="0.1",pod="a"}': "0+100x90",
    'warmpod_review_duration_seconds_bucket{le="1.0",pod="a"}': "0+100x90",
    'warmpod_review_duration_seconds_bucket{le="+Inf",pod="a"}': "0+100x90",
    'warmpod_reviews_total{outcome="late",pod="a"}': "3x90",
    'warmpod_reviews_total{outcome="error",pod="a"}': "0x90",
    'warmpod_refused_requests_total{status="401",pod="a"}': "4x90",
    'warmpod_handshakes_failed_total{reason="certificate-refused",pod="a"}': "2x90",
    'warmpod_handshakes_failed_total{reason="protocol",pod="a"}': "0+1x90",
    'warmpod_law_violations_total{pod="a"}': "0x90",
    'warmpod_controller_webhook_configuration_ok{pod="a"}': "1x90",
    'warmpod_certificate_expiry_timestamp_seconds{pod="a"}': "31536000x90",
    'warmpod_controller_certificate_expiry_timestamp_seconds{certificate="authority",pod="a"}': "315360000x90",
    'warmpod_controller_certificate_problem{pod="a"}': "0x90",
    'warmpod_source_problem{source="policies",pod="a"}': "0x90",
    'warmpod_source_problem{source="certificate",pod="a"}': "0x90",
    'warmpod_source_problem{source="snapshot",pod="a"}': "1x90",
    'warmpod_policies_loaded{pod="a"}': "8x90",
    'warmpod_policy_results_total{policy="p",result="errored",pod="a"}': "1x90",
    'warmpod_snapshot_usable{pod="a"}': "1x90",
    'warmpod_controller_leader{pod="a"}': "1x90",
    'warmpod_controller_leader{pod="b"}': "0x90",
    'warmpod_controller_nodes_behind{pod="a"}': "3x90",
    'warmpod_controller_nodes_conflicting{pod="a"}': "3x90",
    'warmpod_build_info{version="1",cel_engine="x",pod="a"}': "1x90",
    'warmpod_controller_build_info{version="1",pod="a"}': "1x90",
    'warmpod_controller_clock_skew_seconds{pod="a"}': "-2x90",
}
"""An hour and a half of samples, one a minute."""

NEW = "_x84 1x6"
BROKEN: Mapping[str, tuple[Mapping[str, str], set[str]]] = {
    "a fail-open": (
        {'apiserver_admission_webhook_fail_open_count{name="pods.warmpod.dev",instance="a"}': "7x85 8x5"},
        {"WarmpodFailOpen"},
    ),
    "the first fail-open ever": (
        {'apiserver_admission_webhook_fail_open_count{name="audit.pods.warmpod.dev",instance="b"}': NEW},
        {"WarmpodFailOpen"},
    ),
    "a fail-open long ago": (
        {'apiserver_admission_webhook_fail_open_count{name="audit.pods.warmpod.dev",instance="b"}': "_x30 1x60"},
        set(),
    ),
    "the first rejection": (
        {'apiserver_admission_webhook_rejection_count{name="pods.warmpod.dev",instance="a"}': NEW},
        {"WarmpodRejectsPods"},
    ),
    "nobody ready": (
        {'warmpod_ready{pod="a"}': "1x80 0x10", 'warmpod_ready{pod="b"}': "1x80 0x10"},
        {"WarmpodDown"},
    ),
    "nobody scraped": ({'warmpod_ready{pod="a"}': "1x80", 'warmpod_ready{pod="b"}': "1x80"}, {"WarmpodDown"}),
    "one of two ready": ({'warmpod_ready{pod="a"}': "1x80 0x10"}, set()),
    "one not ready for long": (
        {'warmpod_controller_replicas{state="not-ready",pod="a"}': "0x70 1x20"},
        {"WarmpodReplicasDown"},
    ),
    "one not ready for a moment": ({'warmpod_controller_replicas{state="not-ready",pod="a"}': "0x85 1x5"}, set()),
    "slow": ({'warmpod_review_duration_seconds_bucket{le="0.1",pod="a"}': "0+90x90"}, {"WarmpodSlow"}),
    "late": ({'warmpod_reviews_total{outcome="late",pod="a"}': "0x70 0+1x20"}, {"WarmpodReviewsLate"}),
    "refused": ({'warmpod_refused_requests_total{status="401",pod="a"}': "0x60 0+2x30"}, {"WarmpodRequestsRefused"}),
    "not trusted": (
        {'warmpod_handshakes_failed_total{reason="certificate-refused",pod="a"}': "0x70 0+1x20"},
        {"WarmpodHandshakesFail"},
    ),
    "a law": ({'warmpod_law_violations_total{pod="a"}': "0x85 1x5"}, {"WarmpodLawViolation"}),
    "a defect": ({'warmpod_reviews_total{outcome="error",pod="a"}': "0x85 1x5"}, {"WarmpodDefect"}),
    "no registration": (
        {'warmpod_controller_webhook_configuration_ok{pod="a"}': "1x85 0x5"},
        {"WarmpodRegistrationMissing"},
    ),
    "the served certificate ends": (
        {'warmpod_certificate_expiry_timestamp_seconds{pod="a"}': "1000000x90"},
        {"WarmpodCertificateExpiry"},
    ),
    "the authority ends": (
        {'warmpod_controller_certificate_expiry_timestamp_seconds{certificate="authority",pod="a"}': "1000000x90"},
        {"WarmpodCertificateExpiry"},
    ),
    "certificates": (
        {'warmpod_controller_certificate_problem{pod="a"}': "0x70 1x20"},
        {"WarmpodCertificateProblem"},
    ),
    "policies not in force": (
        {'warmpod_source_problem{source="policies",pod="a"}': "0x70 1x20"},
        {"WarmpodPoliciesNotInForce"},
    ),
    "the pair not in force": (
        {'warmpod_source_problem{source="certificate",pod="a"}': "0x70 1x20"},
        {"WarmpodSourceProblem"},
    ),
    "no policies": ({'warmpod_policies_loaded{pod="a"}': "8x60 0x30"}, {"WarmpodNoPolicies"}),
    "a policy fails": (
        {'warmpod_policy_results_total{policy="p",result="errored",pod="a"}': "0x70 0+1x20"},
        {"WarmpodPolicyFails"},
    ),
    "stale": ({'warmpod_snapshot_usable{pod="a"}': "1x70 0x20"}, {"WarmpodSnapshotStale"}),
    "no leader": ({'warmpod_controller_leader{pod="a"}': "1x80 0x10"}, {"WarmpodNoLeader"}),
    "labels behind": ({'warmpod_controller_nodes_behind{pod="a"}': "5x90"}, {"WarmpodLabelsBehind"}),
    "two versions": ({'warmpod_controller_build_info{version="2",pod="b"}': "1x90"}, {"WarmpodVersionsDiffer"}),
    "clock": ({'warmpod_controller_clock_skew_seconds{pod="a"}': "-90x90"}, {"WarmpodClockSkew"}),
}


def scenarios() -> list[tuple[dict[str, str], set[str]]]:
    """Troubles that have no series in common happen at once: promtool takes a second for each scenario."""
    found: list[tuple[dict[str, str], set[str]]] = []
    for changes, fires in BROKEN.values():
        names = {series.partition("{")[0] for series in changes}
        room = next((one for one in found if not names & {key.partition("{")[0] for key in one[0]}), None)
        if room is None:
            found.append((dict(changes), set(fires)))
        else:
            room[0].update(changes)
            room[1].update(fires)
    return found


def test_every_alert_is_tried() -> None:
    assert set().union(*(fires for _, fires in BROKEN.values())) == set(ALERTS)


def test_alerts_fire_exactly_when_they_should(tmp_path: Path) -> None:
    debian.need("prometheus", programs=("promtool",))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(FILE.read_text())["spec"], sort_keys=False))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": key, "values": value} for key, value in {**HEALTHY, **changes}.items()],
            "promql_expr_test": [
                {
                    "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "90m",
                    "exp_samples": [{"labels": f'{{alertname="{one}"}}', "value": 1} for one in sorted(fires)],
                }
            ],
        }
        for changes, fires in [({}, set[str]()), *scenarios()]
    ]
    suite = tmp_path / "tests.yaml"
    suite.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", suite], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
