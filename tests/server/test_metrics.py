from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from webhook.admission.decision import PolicyVerdict
from webhook.policy.model import Mode
from webhook.server.metrics import BUCKETS, Gauges, Metrics
from webhook.server.record import Outcome, Record


def record(outcome: Outcome = Outcome.PATCHED, duration: float = 0.003) -> Record:
    return Record(
        uid="uid-of-a-pod",
        namespace="namespace-of-a-pod",
        name="name-of-a-pod",
        outcome=outcome,
        policies=(
            PolicyVerdict("llm", Mode.ENFORCE, "matched", "reason-text"),
            PolicyVerdict("other", Mode.AUDIT, "skipped", "reason-text"),
        ),
        operations=2,
        would_operations=3,
        seconds_saved=18.5,
        would_seconds_saved=20.0,
        violations=("idempotence of name-of-a-pod",),
        duration=duration,
    )


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_record_is_counted() -> None:
    metrics = Metrics()
    metrics(record())
    found = samples(metrics)
    assert found["warmpod_reviews_total", (("outcome", "patched"),)] == 1
    assert found["warmpod_reviews_total", (("outcome", "denied"),)] == 0
    assert found["warmpod_policy_results_total", (("policy", "llm"), ("result", "matched"))] == 1
    assert found["warmpod_policy_results_total", (("policy", "other"), ("result", "skipped"))] == 1
    assert found["warmpod_seconds_saved_total", (("mode", "enforced"),)] == 18.5
    assert found["warmpod_seconds_saved_total", (("mode", "would"),)] == 20.0
    assert found["warmpod_law_violations_total", ()] == 1
    assert found["warmpod_review_duration_seconds_sum", ()] == 0.003


def test_a_dry_run_is_only_counted() -> None:
    metrics = Metrics()
    metrics(record(Outcome.DRY_RUN))
    found = samples(metrics)
    assert found["warmpod_reviews_total", (("outcome", "dry_run"),)] == 1
    assert found["warmpod_seconds_saved_total", (("mode", "enforced"),)] == 0
    assert ("warmpod_policy_results_total", (("policy", "llm"), ("result", "matched"))) not in found


def test_buckets_hold_their_bounds_and_add_up() -> None:
    metrics = Metrics()
    for duration in (0.0, *BUCKETS, 5.0):
        metrics(record(duration=duration))
    found = samples(metrics)
    counts = [found["warmpod_review_duration_seconds_bucket", (("le", str(bound)),)] for bound in BUCKETS]
    assert counts == [number + 2 for number in range(len(BUCKETS))]
    assert found["warmpod_review_duration_seconds_bucket", (("le", "+Inf"),)] == len(BUCKETS) + 2
    assert found["warmpod_review_duration_seconds_count", ()] == len(BUCKETS) + 2


def test_nothing_of_an_object_is_in_the_text() -> None:
    metrics = Metrics()
    metrics(record())
    text = metrics.exposition().decode()
    assert "of-a-pod" not in text
    assert "reason-text" not in text


def test_gauges_are_asked_at_the_scrape() -> None:
    now = Gauges(version="1", cel_engine="e", policies=3, snapshot_usable=True, ready=True, connections=7)
    metrics = Metrics(lambda: now)
    assert samples(metrics)["warmpod_policies_loaded", ()] == 3
    now.policies = 4
    now.certificate_expiry = 1e9
    found = samples(metrics)
    assert found["warmpod_policies_loaded", ()] == 4
    assert found["warmpod_certificate_expiry_timestamp_seconds", ()] == 1e9
    assert found["warmpod_connections_open", ()] == 7
    assert found["warmpod_build_info", (("cel_engine", "e"), ("version", "1"))] == 1


def test_reloads_are_counted_by_source() -> None:
    metrics = Metrics()
    metrics.reloaded("policies", now=5.0, failed=False)
    metrics.reloaded("policies", now=9.0, failed=True)
    found = samples(metrics)
    assert found["warmpod_reloads_total", (("result", "success"), ("source", "policies"))] == 1
    assert found["warmpod_reloads_total", (("result", "failure"), ("source", "policies"))] == 1
    assert found["warmpod_reload_last_success_timestamp_seconds", (("source", "policies"),)] == 5.0
