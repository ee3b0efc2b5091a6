"""Reports of policies: written when they change, and never over what is somebody else's or cannot be known."""

from __future__ import annotations

import asyncio
import copy
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from tests.builders import policy
from tests.controller.kube_server import until
from tests.controller.object_twin import Object
from tests.controller.registrations import OWN
from tests.controller.report_twin import POLICY_REPORTS, REPORTS, Stage
from tests.controller.test_run import Stage as ProcessStage
from tests.controller.test_run import clean, play
from tests.controller.test_upkeep import calls
from webhook.cli.main import main
from webhook.controller import permissions
from webhook.controller.policy_reports import PolicyReports
from webhook.kube import names
from webhook.sources.kube_api.failure import ApiFailure, StatusCause
from webhook.sources.kube_api.objects import DEPLOYMENTS, Kind
from webhook.sources.kube_api.resources import WORKLOADS

ENV = "  env: [{name: A, value: b}]"
WRITES = ("create", "update", "delete")


def stage(directory: Path, *policies: str) -> Stage:
    made = Stage(directory, *(policies or (policy(),)))
    made.twin.deploy("a")
    made.twin.deploy("b")
    return made


def test_a_turn_that_could_not_be_made_comes_again_later_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.controller.policy_reports._LOOK_SECONDS", 0.001)
    monkeypatch.setattr("webhook.controller.policy_reports.AGAIN_SECONDS", 0.01)
    there = stage(tmp_path)
    (tmp_path / "snapshot.json").unlink()
    reporter = there.reporter()
    assert reporter._again == 0.01

    async def act() -> None:
        running = asyncio.create_task(reporter.run())
        await until(lambda: reporter._again >= 0.08)
        assert "inventory" in str(reporter.problem)
        there.write_snapshot()
        await until(lambda: reporter.counts)
        assert reporter.problem is None
        assert reporter._again == 0.01
        running.cancel()

    asyncio.run(act())


def turns(*reporters: PolicyReports) -> None:
    for reporter in reporters:
        asyncio.run(reporter.turn())


def written(asked: list[str]) -> Counter[str]:
    return Counter(one for one in asked if one.split()[0] in WRITES)


def plain(report: Object) -> Object:
    """What a report says, without times and versions."""
    found = copy.deepcopy(report)
    for result in found["results"]:
        del result["timestamp"]
    return {key: found[key] for key in ("apiVersion", "kind", "results", "summary")}


def test_every_namespace_has_a_report_of_each_kind_that_is_served(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    for kind, version, name in (
        (POLICY_REPORTS, "wgpolicyk8s.io/v1alpha2", "PolicyReport"),
        (REPORTS, "openreports.io/v1alpha1", "Report"),
    ):
        found = there.twin.reports(kind)
        assert sorted(found) == ["a", "b"]
        assert (found["a"]["apiVersion"], found["a"]["kind"]) == (version, name)
        metadata = found["a"]["metadata"]
        assert (metadata["name"], metadata["labels"]) == ("warmpod", {"app.kubernetes.io/managed-by": "warmpod"})
        [owner] = metadata["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == (
            "Namespace",
            "warmpod-system",
            "namespaces//warmpod-system",
        )
        assert found["a"]["summary"]["pass"] == 1
    assert reporter.problem is None
    assert reporter.counts == {"current": 4, "foreign": 0, "failed": 0}
    assert reporter.check().detail.startswith("4 in place, 2 results, ")


def test_a_second_turn_writes_nothing_and_reads_no_report(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    there.twin.asked()
    turns(reporter)
    asked = there.twin.asked()
    assert written(asked) == {}
    assert Counter(asked) == {
        **{
            f"list {one}": 1
            for one in ("deployments", "statefulsets", "daemonsets", "cronjobs", "jobs", "replicasets", "pods")
        },
        "list policyreports": 1,
        "list reports": 1,
        "get namespaces": 1,
        "get mutatingwebhookconfigurations": 1,
    }
    turns(there.reporter())
    asked = there.twin.asked()
    assert written(asked) == {}, "another leader finds that all is right"
    assert Counter(asked)["get policyreports"] == 2


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    before = there.twin.reports()
    there.twin.asked()
    there.twin.deploy("b", replicas=3)
    turns(reporter)
    assert written(there.twin.asked()) == {"update policyreports": 1, "update reports": 1}
    assert there.twin.reports()["a"] == before["a"]
    assert there.twin.reports()["b"]["results"][0]["properties"]["pods"] == "3"


def test_policies_are_followed(tmp_path: Path) -> None:
    there = stage(tmp_path)
    turns(there.reporter())
    there.write_policies(policy(), policy(ENV, name="more", mode="Audit"))
    turns(there.reporter())
    found = {one["policy"]: one["result"] for one in there.twin.reports()["a"]["results"]}
    assert found == {"llm-serving": "pass", "more": "warn"}


def test_what_reads_as_before_keeps_its_time(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    found = there.twin.reports()["a"]
    found["results"][0]["timestamp"]["seconds"] = 7
    there.twin.deploy("a", "other")
    turns(reporter)
    old, new = there.twin.reports()["a"]["results"]
    assert old["timestamp"]["seconds"] == 7
    assert new["timestamp"]["seconds"] > time.time() - 600


def test_a_namespace_with_nothing_to_report_has_no_report(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    there.twin.remove(DEPLOYMENTS, "a", "llama")
    turns(reporter)
    assert sorted(there.twin.reports()) == sorted(there.twin.reports(REPORTS)) == ["b"]
    there.write_policies()
    turns(there.reporter())
    assert there.twin.reports() == {}


def test_somebody_elses_report_is_left_alone_and_told_of(tmp_path: Path) -> None:
    there = stage(tmp_path)
    theirs = {"metadata": {"name": "warmpod", "labels": {"app.kubernetes.io/managed-by": "kyverno"}}, "results": []}
    stored = there.twin.put(POLICY_REPORTS, "a", theirs)
    other = there.twin.put(POLICY_REPORTS, "c", theirs)
    reporter = there.reporter()
    turns(reporter, reporter)
    assert there.twin.reports()["a"] == stored
    assert there.twin.reports()["c"] == other, "it is not deleted either"
    assert reporter.counts == {"current": 3, "foreign": 1, "failed": 0}
    assert reporter.problem is not None
    assert "somebody else's" in reporter.problem
    assert "/a" not in reporter.check().detail, "the port is plain"


def test_what_somebody_did_to_a_report_of_ours_is_undone(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    found = there.twin.reports()["a"]
    labels = {**found["metadata"]["labels"], "team": "x"}
    there.twin.put(POLICY_REPORTS, "a", {**found, "metadata": {**found["metadata"], "labels": labels}, "results": []})
    there.twin.remove(POLICY_REPORTS, "b", "warmpod")
    turns(reporter)
    again = there.twin.reports()
    assert plain(again["a"]) == plain(found)
    assert again["a"]["metadata"]["labels"] == labels
    assert "b" in again


def test_kinds_come_and_go(tmp_path: Path) -> None:
    there = stage(tmp_path)
    there.twin.served = []
    reporter = there.reporter()
    turns(reporter)
    assert "serves neither wgpolicyk8s.io (v1alpha2 or later) nor openreports.io" in str(reporter.problem)
    assert there.twin.asked() == [], "then no workload is listed for it"
    there.twin.served = [POLICY_REPORTS._replace(version="v1alpha1")]
    turns(reporter)
    assert "v1alpha2 or later" in str(reporter.problem)
    newer = POLICY_REPORTS._replace(version="v1beta1")
    there.twin.served = [newer]
    turns(reporter)
    assert reporter.problem is None
    assert there.twin.reports()["a"]["apiVersion"] == "wgpolicyk8s.io/v1beta1"


def test_a_kind_that_goes_in_the_middle_of_a_turn_is_told_of(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    there.twin.fault = failing("list", REPORTS, "missing")
    turns(reporter)
    assert "missing" in str(reporter.problem)
    there.twin.fault = lambda _request: None
    turns(reporter)
    assert reporter.problem is None


def failing(verb: str, kind: Kind, why: Any, namespace: str = "", **fields: Any) -> Callable[[Any], None]:
    def fault(request: Any) -> None:
        here = getattr(request, "kind", None) == kind and request.verb == verb
        if here and namespace in ("", request.namespace):
            raise ApiFailure(request.what, why, "planted", **fields)

    return fault


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("list", DEPLOYMENTS), ("list", POLICY_REPORTS), ("get", Kind("", "v1", "namespaces", namespaced=False))],
    ids=["workloads", "reports", "namespace"],
)
def test_what_cannot_be_seen_changes_no_report(tmp_path: Path, verb: str, kind: Kind) -> None:
    there = stage(tmp_path)
    turns(there.reporter())
    there.twin.remove(DEPLOYMENTS, "a", "llama")
    there.twin.deploy("b", replicas=9)
    there.twin.asked()
    there.twin.fault = failing(verb, kind, "forbidden")
    reporter = there.reporter()
    turns(reporter)
    assert written(there.twin.asked()) == {}
    assert str(reporter.problem).startswith("the API server does not do what is asked: forbidden")


def test_one_report_that_is_refused_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    there = stage(tmp_path)
    there.twin.fault = failing("create", POLICY_REPORTS, "refused", "a", status=422)
    reporter = there.reporter()
    turns(reporter)
    assert reporter.counts == {"current": 3, "foreign": 0, "failed": 1}
    assert "1 could not be written" in str(reporter.problem)
    there.twin.fault = lambda _request: None
    turns(reporter)
    assert reporter.problem is None


def test_an_api_server_that_takes_nothing_is_not_pestered(tmp_path: Path) -> None:
    there = Stage(tmp_path, policy())
    for number in range(30):
        there.twin.deploy(f"n{number}")
    tried: list[str] = []

    def fault(request: Any) -> None:
        if getattr(request, "verb", "") == "create":
            tried.append(request.namespace)
            raise ApiFailure(request.what, "server", "planted", status=500)

    there.twin.fault = fault
    reporter = there.reporter()
    turns(reporter)
    assert len(tried) == 10, "five of each kind"
    assert reporter.counts["failed"] == 60


@pytest.mark.parametrize(
    "fields",
    [{"why": "missing"}, {"why": "forbidden", "causes": [StatusCause(reason="NamespaceTerminating")]}],
    ids=["gone", "going"],
)
def test_a_namespace_that_goes_is_no_problem(tmp_path: Path, fields: dict[str, Any]) -> None:
    there = stage(tmp_path)
    there.twin.fault = failing("create", POLICY_REPORTS, fields.pop("why"), "a", **fields)
    reporter = there.reporter()
    turns(reporter)
    assert reporter.problem is None
    assert reporter.counts["current"] == 3


def test_who_wrote_first_is_not_written_over(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()
    turns(reporter)
    there.twin.deploy("a", replicas=3)

    async def meddle(request: Any) -> None:
        if request.verb == "update" and request.kind == POLICY_REPORTS:
            there.twin.before = none
            found = there.twin.reports()["a"]
            there.twin.put(
                POLICY_REPORTS, "a", {**found, "results": [], "metadata": {**found["metadata"], "labels": {}}}
            )

    there.twin.before = meddle
    turns(reporter)
    assert reporter.counts["failed"] == 1
    turns(reporter)
    assert there.twin.reports()["a"]["results"] == [], "it took our label away: it is theirs now"
    assert reporter.counts == {"current": 3, "foreign": 1, "failed": 0}


async def none(_request: Any) -> None:
    return


@pytest.mark.parametrize("what", ["policies", "snapshot", "old snapshot"])
def test_without_facts_nothing_is_said(tmp_path: Path, what: str) -> None:
    there = stage(tmp_path)
    turns(there.reporter())
    if what == "policies":
        (tmp_path / "policies").rename(tmp_path / "elsewhere")
    elif what == "snapshot":
        (tmp_path / "snapshot.json").write_text("{")
    else:
        there.write_snapshot(age=3600)
    there.twin.remove(DEPLOYMENTS, "a", "llama")
    there.twin.asked()
    reporter = there.reporter()
    turns(reporter)
    assert written(there.twin.asked()) == {}
    assert "the policies cannot be read" in str(reporter.problem) or "the inventory is not usable" in str(
        reporter.problem
    )
    assert str(tmp_path) not in str(reporter.problem)


@pytest.mark.parametrize(("path", "outcome"), [("/mutate", "pass"), ("/mutate/audit", "warn")])
def test_the_registration_caps_the_mode(tmp_path: Path, path: str, outcome: str) -> None:
    there = stage(tmp_path)
    there.twin.register(path)
    turns(there.reporter())
    assert [one["result"] for one in there.twin.reports()["a"]["results"]] == [outcome]


def test_who_does_not_lead_any_more_writes_nothing_more(tmp_path: Path) -> None:
    there = stage(tmp_path)

    async def lose(request: Any) -> None:
        there.leading = there.leading and request.verb != "create"

    there.twin.after = lose
    reporter = there.reporter()
    turns(reporter)
    assert written(there.twin.asked()) == {"create policyreports": 1}
    assert reporter.problem is None, "it is nobody's fault"


def test_others_have_their_turn_while_workloads_are_judged(tmp_path: Path) -> None:
    there = Stage(tmp_path, policy())
    for number in range(200):
        there.twin.deploy("a", f"w-{number}")
    turns_of_others = 0

    async def act() -> None:
        async def others() -> None:
            nonlocal turns_of_others
            while True:
                turns_of_others += bool(there.twin.seen) and there.twin.seen[-1].kind == DEPLOYMENTS
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        await there.reporter().turn()
        beside.cancel()

    asyncio.run(act())
    assert turns_of_others > 3, "200 judgements of a list that has come take more than 15 ms"
    assert there.twin.reports()["a"]["summary"]["pass"] == 200


def test_many_workloads_make_a_report_of_bounded_size(tmp_path: Path) -> None:
    there = Stage(tmp_path, policy())
    for number in range(600):
        there.twin.deploy("a", f"{number:0>60}")
    reporter = there.reporter()
    turns(reporter)
    found = there.twin.reports()["a"]
    assert found["summary"]["pass"] == 600
    assert len(found["results"]) == 500
    assert len(json.dumps(found)) < 700_000
    there.twin.asked()
    turns(reporter)
    assert written(there.twin.asked()) == {}


def test_it_runs_for_ever_while_it_leads(tmp_path: Path) -> None:
    there = stage(tmp_path)
    there.leading = False
    reporter = there.reporter()

    async def act() -> None:
        running = asyncio.create_task(reporter.run())
        await asyncio.sleep(0)
        assert "written by the leader" in reporter.check().detail
        there.leading = True
        await until(lambda: reporter.counts)
        there.leading = False
        await until(lambda: not reporter.counts)
        assert reporter.check().passes
        running.cancel()

    asyncio.run(act())
    assert len(there.twin.reports()) == 2


def test_a_defect_is_told_of_and_does_not_come_again_at_once(tmp_path: Path) -> None:
    there = stage(tmp_path)
    reporter = there.reporter()

    def defect(request: Any) -> None:
        if getattr(request, "kind", None) == DEPLOYMENTS:
            raise ZeroDivisionError

    there.twin.fault = defect

    async def act() -> None:
        with pytest.raises(ZeroDivisionError):
            await reporter.run()
        assert "a defect in Warmpod" in str(reporter.problem)
        there.twin.asked()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reporter.run()

    asyncio.run(act())
    assert there.twin.asked() == [], "who runs it begins again after 5 s; the next turn is for later"


MOVES = st.lists(
    st.sampled_from(
        [
            "deploy a",
            "deploy c",
            "remove a",
            "remove b",
            "audit",
            "enforce",
            "meddle",
            "delete",
            "label",
            "leader",
            "drop kind",
            "kinds",
        ]
    ),
    max_size=8,
)


@configured(max_examples=40, deadline=None)
@given(moves=MOVES)
def test_whatever_happens_reports_come_to_say_what_is(moves: list[str]) -> None:
    """After any history, one more turn leaves what a fresh process in a fresh cluster would write."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        there = stage(Path(one))
        text, reporter = policy(), there.reporter()
        for number, move in enumerate(moves):
            twin = there.twin
            if move.startswith("deploy"):
                twin.deploy(move[-1], replicas=number)
            elif move.startswith("remove"):
                twin.remove(DEPLOYMENTS, move[-1], "llama")
            elif move in ("audit", "enforce"):
                text = policy(mode=move.capitalize())
                there.write_policies(text)
                reporter = there.reporter()  # files are looked at again some two seconds after a change
            elif move == "delete":
                twin.remove(POLICY_REPORTS, "a", names.POLICY_REPORT)
            elif move == "leader":
                reporter = there.reporter()
            elif move == "drop kind":
                twin.served = [REPORTS]
            elif move == "kinds":
                twin.served = [POLICY_REPORTS, REPORTS]
            elif "a" in twin.reports():
                found = twin.reports()["a"]
                labels = {**found["metadata"]["labels"], "team": "x"}
                changed: Object = (
                    {"results": []} if move == "meddle" else {"metadata": {**found["metadata"], "labels": labels}}
                )
                twin.put(POLICY_REPORTS, "a", {**found, **changed})
            turns(reporter)
        there.twin.served = [POLICY_REPORTS, REPORTS]
        turns(reporter)
        fresh = Stage(Path(two), text)
        for place, found in there.twin.objects.items():
            if place[0] == DEPLOYMENTS.resource:
                fresh.twin.put(DEPLOYMENTS, place[1], found)
        turns(fresh.reporter())
        for kind in (POLICY_REPORTS, REPORTS):
            says, should = (
                {place: plain(found) for place, found in each.twin.reports(kind).items()} for each in (there, fresh)
            )
            assert says == should
        there.twin.asked()
        turns(reporter)
        assert written(there.twin.asked()) == {}


COLLECTION = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/a/policyreports"


def installed(process: ProcessStage) -> list[str]:
    """A cluster with one workload and one kind of reports; the flags of a controller that reports."""
    there = stage(process.directory)
    server = process.server
    kind = {"resource": "policyreports", "responseKind": {"kind": "PolicyReport"}, "scope": "Namespaced"}
    versions = [{"version": "v1alpha2", "resources": [kind]}]
    groups = [{"metadata": {"name": "wgpolicyk8s.io"}, "versions": versions}]
    for path, items in {"/api": [], "/apis": groups}.items():
        server.put(path, {"kind": "APIGroupDiscoveryList", "items": items})
    for each in WORKLOADS:
        if each.group:
            server.put(each.collection(""), {"items": []})
    found = there.twin.get(DEPLOYMENTS, "a", "llama")
    server.put(DEPLOYMENTS.collection(""), {"items": [found]})
    server.put("/apis/wgpolicyk8s.io/v1alpha2/policyreports", {"items": []})
    server.put(OWN, {"kind": "Namespace", "metadata": {}})
    return ["--policy-reports", f"--policies={process.directory / 'policies'}", "--webhook-status="]


def test_the_process_reports_and_cleans_up(tmp_path: Path) -> None:
    async def scenario(process: ProcessStage) -> None:
        flags = installed(process)
        controller = await process.start(*flags, "--no-labels")
        path = f"{COLLECTION}/{names.POLICY_REPORT}"
        await until(lambda: path in process.server.objects)
        report = process.server.objects[path]
        assert report["summary"]["pass"] == 1
        assert report["metadata"]["ownerReferences"][0]["uid"] == process.server.objects[OWN]["metadata"]["uid"]
        text = await controller.tells("[+] policy-reports: 1 in place, 1 results")
        assert "llama" not in text
        await controller.counts('warmpod_controller_policy_reports{state="current"}', 1)
        assert await controller.metric("warmpod_controller_policy_report_problem") == 0
        assert process.server.lease is not None, "a leader reports, although there are no labels to write"
        asked = {each for each in calls(process) if each.resource != "leases"}
        asked = {each._replace(name="") if each.resource == "policyreports" else each for each in asked}
        allowed = permissions.POLICY_REPORTS | permissions.REGISTRATION
        assert asked <= allowed
        assert await controller.end() == 0
        listed = [
            {"metadata": report["metadata"]},
            {"metadata": {"name": "warmpod", "namespace": "b", "uid": "theirs"}},
        ]
        process.server.put("/apis/wgpolicyk8s.io/v1alpha2/policyreports", {"items": listed})
        code, out, error = await clean(process)
        assert (code, error) == (0, "")
        assert out == "took the labels off 0 of 4 nodes\ndeleted 1 report\n"
        assert path not in process.server.objects

    play(tmp_path, scenario)


def test_reports_without_policies_are_refused(tmp_path: Path) -> None:
    command: click.Command = main
    done = CliRunner().invoke(command, ["controller", f"--snapshot={tmp_path / 's'}", "--policy-reports"])
    assert done.exit_code == 2
    assert "--policy-reports needs --policies DIR" in done.output
