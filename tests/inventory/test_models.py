"""Which models a node holds: by its hydrators' reports, and after a restart by its labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inventory.api import EPOCH, GIB, held, image, node, pod, said
from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster, Rules
from webhook.inventory.model import Inventory
from webhook.inventory.node_models import MOST_CACHES, MOST_FACTS, NodeModels
from webhook.inventory.objects import Resource
from webhook.inventory.report import Report, read
from webhook.kube import names
from webhook.policy.allow import canonical_source

LLAMA, QWEN = "s3://models/llama/", "s3://models/qwen/"


def cluster(*objects: Any, restored: Inventory | None = None, **rules: Any) -> Cluster:
    found = Cluster(Rules(**rules))
    if restored is not None:
        found.restore(restored)
    for resource in ("nodes", "pods", "namespaces"):
        found.replace(resource, [each for each in objects if type(each).__name__.lower() + "s" == resource], EPOCH)
    return found


def warm(of: Cluster, source: str, tenant: str = "team") -> list[str]:
    inventory = of.inventory(EPOCH)
    artifact = inventory.model(source, tenant)
    return [inventory.nodes[index].name for index in artifact.nodes] if artifact else []


def labelled(of: Cluster, name: str = "n", **more: Any) -> Any:
    """The node once its labels are as planned."""
    return node(name, labels=of.planned(name), **more)


def test_a_report_makes_its_node_warm() -> None:
    found = cluster(node("n"), node("m"), pod(node="n", reports=[said(10, (LLAMA,))]))
    assert warm(found, LLAMA) == ["n"]
    artifact = found.inventory(EPOCH).model(LLAMA, "team")
    assert artifact is not None
    assert (artifact.bytes, artifact.label) == (15 * GIB, names.model_label(LLAMA, "team"))


def test_a_slash_at_the_end_makes_no_difference() -> None:
    found = cluster(node("n"), pod(node="n", reports=[said(10, ("s3://models/llama",))]))
    assert warm(found, LLAMA) == ["n"]


def test_the_model_stays_when_the_pod_goes() -> None:
    reporter = pod(reports=[said(10, (LLAMA,))])
    found = cluster(node(), reporter)
    found.remove("pods", reporter, EPOCH)
    assert warm(found, LLAMA) == ["n"]


def test_both_the_last_and_the_current_run_count() -> None:
    found = cluster(node(), pod(reports=[said(20, (QWEN,), omitted=3), said(10, (LLAMA,))]))
    assert warm(found, LLAMA) == warm(found, QWEN) == ["n"]


class TestWhoMayBeBelieved:
    def test_a_pod_speaks_for_its_own_namespace(self) -> None:
        found = cluster(node(), pod(namespace="evil", reports=[said(10, (LLAMA, "team"), (QWEN, "evil"))]))
        assert warm(found, LLAMA) == []
        assert warm(found, QWEN, "evil") == ["n"]
        assert found.refused == {"tenant": 1}

    def test_nor_can_it_deny_what_others_hold(self) -> None:
        found = cluster(
            node(),
            pod("honest", reports=[said(10, (LLAMA,))]),
            pod("forger", namespace="evil", reports=[said(20, (QWEN, "evil"), evicted=[(LLAMA, "team")])]),
        )
        assert warm(found, LLAMA) == ["n"]

    def test_what_it_says_of_everyones_models_counts_for_itself(self) -> None:
        found = cluster(node(), pod(namespace="team", reports=[said(10, (LLAMA, ""))]))
        assert warm(found, LLAMA, "team") == ["n"]
        assert warm(found, LLAMA, "") == []

    def test_a_namespace_that_fills_the_clusters_cache_speaks_for_all(self) -> None:
        found = cluster(
            node(), pod(namespace="ml-platform", reports=[said(10, (LLAMA, ""))]), cluster_cache_namespaces=("ml-*",)
        )
        assert warm(found, LLAMA, "") == ["n"]

    def test_a_pattern_matches_names_whole(self) -> None:
        found = cluster(
            node(), pod(namespace="html-x", reports=[said(10, (LLAMA, ""))]), cluster_cache_namespaces=("ml-*", "tml")
        )
        assert warm(found, LLAMA, "") == []


class TestTheLatestReport:
    @pytest.mark.parametrize("order", [("early", "late"), ("late", "early")], ids=["in order", "out of order"])
    def test_wins_whatever_the_order_of_arrival(self, order: tuple[str, str]) -> None:
        reports = {"early": said(10, (LLAMA,)), "late": said(20, (QWEN,))}
        found = cluster(node(), *(pod(name, reports=[reports[name]]) for name in order))
        assert (warm(found, LLAMA), warm(found, QWEN)) == ([], ["n"])

    def test_of_each_model_wins_too(self) -> None:
        found = cluster(node())
        found.put("pods", pod("late", reports=[said(20, (QWEN,), evicted=[(LLAMA, "team")], omitted=1)]), EPOCH)
        found.put("pods", pod("early", reports=[said(10, (LLAMA,), omitted=1)]), EPOCH)
        assert warm(found, LLAMA) == []

    def test_of_the_same_second_tells_what_is_there_by_its_name(self) -> None:
        found = cluster(node(), pod("a", reports=[said(10, (LLAMA,))]), pod("b", reports=[said(10, (LLAMA,), (QWEN,))]))
        assert warm(found, LLAMA) == warm(found, QWEN) == ["n"]

    def test_tells_nothing_of_what_it_omitted(self) -> None:
        found = cluster(
            node(), pod("a", reports=[said(10, (LLAMA,))]), pod("b", reports=[said(20, (QWEN,), omitted=1)])
        )
        assert warm(found, LLAMA) == ["n"]

    def test_tells_nothing_of_the_rest_where_it_does_not_say_that_it_is_whole(self) -> None:
        found = cluster(
            node(), pod("a", reports=[said(10, (LLAMA,))]), pod("b", reports=[said(20, (QWEN,), omitted=None)])
        )
        assert warm(found, LLAMA) == ["n"]

    def test_of_an_eviction_takes_the_model_away(self) -> None:
        found = cluster(
            node(),
            pod("a", reports=[said(10, (LLAMA,))]),
            pod("b", reports=[said(20, (QWEN,), evicted=[(LLAMA, "team")], omitted=1)]),
        )
        assert warm(found, LLAMA) == []

    def test_that_evicted_a_model_and_holds_it_fetched_it_again(self) -> None:
        found = cluster(node(), pod("b", reports=[said(20, (LLAMA,), evicted=[(LLAMA, "team")])]))
        assert warm(found, LLAMA) == ["n"]

    def test_that_names_nothing_says_nothing(self) -> None:
        found = cluster(node(), pod("a", reports=[said(10, (LLAMA,))]), pod("b", reports=[said(20, result="error")]))
        assert warm(found, LLAMA) == ["n"]

    def test_of_the_teams_own_cache_says_nothing_of_everyones(self) -> None:
        found = cluster(node(), pod("a", reports=[said(10, (LLAMA, ""))]), pod("b", reports=[said(20, (QWEN, "team"))]))
        assert warm(found, LLAMA) == warm(found, QWEN) == ["n"]


def here(
    source: str, cache: str = "", directory: str = "", tenant: str = "team", version: str = "v1"
) -> dict[str, Any]:
    """A model in one of the node's caches."""
    more = {"cache": cache, "directory": directory}
    return {**held(source, tenant, version), **{key: value for key, value in more.items() if value}}


class TestCaches:
    """ADR 13: a report is whole for the caches it names."""

    @pytest.mark.parametrize(
        ("models", "caches", "gone"),
        [
            pytest.param([here(QWEN, "b")], ["b"], False, id="another cache"),
            pytest.param([here(QWEN)], ["b"], False, id="another cache that the model does not name"),
            pytest.param([here(QWEN, "b")], None, False, id="another cache that only the model names"),
            pytest.param([here(QWEN)], None, False, id="no cache"),
            pytest.param([here(QWEN, "a")], ["a"], True, id="that cache"),
            pytest.param([here(QWEN)], ["a"], True, id="that cache, which the model does not name"),
            pytest.param([here(QWEN, "a")], None, True, id="that cache, which only the model names"),
            pytest.param([here(QWEN, "b")], ["a", "b"], True, id="both"),
            pytest.param([here(QWEN)], [], False, id="none"),
        ],
    )
    def test_a_report_of(self, models: list[Any], caches: list[str] | None, *, gone: bool) -> None:
        more: dict[str, Any] = {} if caches is None else {"caches": caches}
        found = cluster(
            node(),
            pod("first", reports=[said(10, here(LLAMA, "a"), caches=["a"])]),
            pod("second", reports=[said(20, *models, **more)]),
        )
        assert warm(found, LLAMA) == ([] if gone else ["n"])
        assert warm(found, QWEN) == ["n"]

    def test_a_model_is_there_while_one_of_them_holds_it(self) -> None:
        both = pod("both", reports=[said(10, here(LLAMA, "a"), here(LLAMA, "b"), caches=["a", "b"])])
        evicted = [{"source": LLAMA, "tenant": "team", "cache": "a"}]
        content = {**json.loads(said(20, here(QWEN, "a"), caches=["a"])["message"]), "evicted": evicted}
        one = {**said(20), "message": json.dumps(content)}
        found = cluster(node(), both, pod("one", reports=[one]))
        assert warm(found, LLAMA) == ["n"]
        found.put("pods", pod("other", reports=[said(30, here(QWEN, "b"), caches=["b"])]), EPOCH)
        assert warm(found, LLAMA) == []

    def test_a_version_that_is_current_in_one_of_them_will_do(self) -> None:
        first = pod("first", reports=[said(10, here(LLAMA, "a"), caches=["a"])])
        found = cluster(node(), first, pod("m", reports=[said(20, here(LLAMA, "b", version="v2"), caches=["b"])]))
        assert warm(found, LLAMA) == ["n"]

    @pytest.mark.parametrize(
        ("reports", "stays"),
        [
            ([("a", 30), ("b", 40)], False),
            ([("a", 30)], False),
            ([("a", 30), ("b", 10)], True),
        ],
        ids=["all since", "the only one that is known", "one not since"],
    )
    def test_after_a_restart_a_label_stands_until_all_that_are_known_do_not_name_it(
        self, reports: list[tuple[str, int]], *, stays: bool
    ) -> None:
        before = cluster(node(), pod("x", reports=[said(20, here(LLAMA, "c"), here(QWEN, "c"), caches=["c"])]))
        pods = [pod(cache, reports=[said(at, here(QWEN, cache), caches=[cache])]) for cache, at in reports]
        after = cluster(labelled(before), *pods, restored=before.inventory(EPOCH))
        assert warm(after, LLAMA) == (["n"] if stays else [])

    def test_names_of_caches_cannot_fill_memory(self) -> None:
        models = NodeModels()
        for number in range(40):
            caches = [f"{number}-{each}" for each in range(30)]
            report = read(said(number + 1, here(LLAMA, caches[0]), caches=caches)["message"])
            assert isinstance(report, Report)
            models.absorb(report, "team", number + 1, for_all=False)
        assert {len(whole) for whole in models._whole.values()} == {MOST_CACHES}
        assert {len(facts) for facts in models._facts.values()} == {40}


class TestSomeOfASourcesFiles:
    """ADR 12: they are a model of their own."""

    def test_are_not_the_source(self) -> None:
        directory = names.directory(LLAMA, '{"preferSafetensors":true}')
        found = cluster(node(), pod(reports=[said(10, here(LLAMA.rstrip("/"), "a", directory, version="v2"))]))
        assert warm(found, LLAMA) == []
        assert warm(found, names.selection(LLAMA, directory)) == ["n"]
        other = pod("whole", reports=[said(20, here(LLAMA, "b", names.directory(LLAMA)))])
        found.put("pods", other, EPOCH)
        assert warm(found, LLAMA) == warm(found, names.selection(LLAMA, directory)) == ["n"]

    def test_keep_their_name_over_a_restart(self) -> None:
        directory = names.directory(LLAMA, '{"exclude":["*.bin"]}')
        before = cluster(node(), pod(reports=[said(10, here(LLAMA, "a", directory))]))
        after = cluster(labelled(before), restored=snapshot.decode(snapshot.encode(before.inventory(EPOCH))))
        assert warm(after, names.selection(LLAMA, directory)) == ["n"]

    def test_are_evicted_by_their_directory(self) -> None:
        directory = names.directory(LLAMA, '{"exclude":["*.bin"]}')
        found = cluster(node(), pod(reports=[said(10, here(LLAMA, "a", directory), here(LLAMA, "a"), caches=["a"])]))
        evicted = [{"source": LLAMA, "tenant": "team", "cache": "a", "directory": directory}]
        content = {**json.loads(said(20, omitted=1, caches=["a"])["message"]), "evicted": evicted}
        found.put("pods", pod("b", reports=[{**said(20), "message": json.dumps(content)}]), EPOCH)
        assert warm(found, names.selection(LLAMA, directory)) == []
        assert warm(found, LLAMA) == ["n"]


class TestVersions:
    def test_nodes_with_another_version_than_the_latest_are_cold(self) -> None:
        found = cluster(
            node("a"),
            node("b"),
            pod("a", node="a", reports=[said(10, (LLAMA, "team", "v1"))]),
            pod("b", node="b", reports=[said(20, (LLAMA, "team", "v2"))]),
        )
        assert warm(found, LLAMA) == ["b"]
        found.put("pods", pod("c", node="a", reports=[said(30, (LLAMA, "team", "v2"))]), EPOCH)
        assert warm(found, LLAMA) == ["a", "b"]

    @pytest.mark.parametrize("is_labelled", [True, False])
    def test_count_from_when_they_are_heard_of(self, is_labelled: bool) -> None:
        found = cluster(node("a"), node("b"), pod("a", node="a", reports=[said(10, (LLAMA, "team", "v1"))]))
        assert warm(found, LLAMA) == ["a"]
        found.put("pods", pod("x", node="a", namespace="x", reports=[said(15, (QWEN, "x"))]), EPOCH)
        if is_labelled:
            found.put("nodes", labelled(found, "a"), EPOCH)
        assert warm(found, LLAMA) == ["a"]
        found.put("pods", pod("b", node="b", reports=[said(20, (LLAMA, "team", "v2"))]), EPOCH)
        assert warm(found, LLAMA) == ["b"], "though node a may bear the label of it, written since it was reported"
        assert sorted(found.behind()) == ["a", "b"]

    def test_of_earlier_reports_that_come_late_are_not_the_latest(self) -> None:
        found = cluster(node("a"), node("b"), pod("b", node="b", reports=[said(15, (LLAMA, "team", "v2"))]))
        found.put("pods", pod("late", node="a", reports=[said(20, (LLAMA, "team", "v2"))]), EPOCH)
        found.put("pods", pod("early", node="a", reports=[said(10, (LLAMA, "team", "v1"))]), EPOCH)
        found.put("pods", pod("c", node="b", reports=[said(18, (LLAMA, "team", "v1"))]), EPOCH)
        assert warm(found, LLAMA) == ["a"]

    def test_a_model_that_lies_in_a_cache_unchecked_is_not_the_latest_for_it(self) -> None:
        old = {**held(LLAMA, version="v1"), "checked": False}
        found = cluster(
            node("a"),
            node("b"),
            pod("b", node="b", reports=[said(20, (LLAMA, "team", "v2"))]),
            pod("a", node="a", reports=[said(30, {**held(QWEN), "checked": True}, old)]),
        )
        assert warm(found, LLAMA) == ["b"]

    @pytest.mark.parametrize("result", ["hit", "error"])
    def test_a_run_that_trusted_its_cache_or_failed_checked_nothing(self, result: str) -> None:
        unchecked = {name: value for name, value in held(LLAMA, version="v1").items() if name != "checked"}
        found = cluster(
            node("a"),
            node("b"),
            pod("b", node="b", reports=[said(20, (LLAMA, "team", "v2"))]),
            pod("a", node="a", reports=[said(30, unchecked, result=result)]),
        )
        assert warm(found, LLAMA) == ["b"]

    def test_when_the_node_of_the_latest_goes_the_next_latest_counts(self) -> None:
        found = cluster(
            node("a"),
            node("b"),
            pod("a", node="a", reports=[said(10, (LLAMA, "team", "v1"))]),
            pod("b", node="b", reports=[said(20, (LLAMA, "team", "v2"))]),
        )
        found.remove("nodes", node("b"), EPOCH)
        assert warm(found, LLAMA) == ["a"]

    def test_another_tenants_version_is_none_of_ours(self) -> None:
        found = cluster(
            node("a"),
            pod("a", node="a", reports=[said(10, (LLAMA, "team", "v1"))]),
            pod("b", node="a", namespace="evil", reports=[said(20, (LLAMA, "evil", "v2"), (LLAMA, "", "v3"))]),
        )
        assert warm(found, LLAMA) == ["a"]


STATEMENTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.lists(
            st.builds(
                lambda source, tenant, version, cache: here(source, cache, tenant=tenant, version=version),
                *(st.sampled_from(each) for each in ([LLAMA, QWEN], ["team", ""], "vw", ["", "a", "b"])),
            ),
            max_size=2,
        ),
        st.lists(st.tuples(st.sampled_from([LLAMA, QWEN]), st.sampled_from(["team", ""])), max_size=1),
        st.sampled_from([0, 1]),
        st.sampled_from([None, ["a"], ["a", "b"]]),
    ),
    max_size=6,
)


@given(STATEMENTS, st.randoms(use_true_random=False))
def test_reports_may_arrive_in_any_order_and_again(statements: list[Any], random: Any) -> None:
    def told(order: list[Any]) -> tuple[Any, ...]:
        found = NodeModels()
        for at, models, evicted, omitted, caches in order:
            report = read(said(at, *models, evicted=evicted, omitted=omitted, caches=caches)["message"])
            assert isinstance(report, Report)
            found.absorb(report, "team", at, for_all=False)
        keys = found.keys()
        gone = {(key, since) for key in keys for since in range(6) if found.is_gone(key, since)}
        return set(found.held()), keys, {key: found.checked(key) for key in keys}, gone, found.latest

    again = [*statements, *statements]
    random.shuffle(again)
    assert told(statements) == told(again)


class TestABoot:
    def test_forgets_models_and_believes_new_reports(self) -> None:
        old = pod(reports=[said(10, (LLAMA,))])
        found = cluster(node(boot="one"), old)
        found.put("nodes", node(boot="two"), EPOCH + 20)
        assert warm(found, LLAMA) == []
        found.put("pods", pod(reports=[said(30, (QWEN,)), said(10, (LLAMA,))]), EPOCH + 31)
        assert (warm(found, LLAMA), warm(found, QWEN)) == ([], ["n"])
        found.replace("pods", [old], EPOCH + 40)
        assert (warm(found, LLAMA), warm(found, QWEN)) == ([], ["n"])

    @pytest.mark.parametrize(("before", "after"), [("", "one"), ("one", ""), ("", "")], ids=["comes", "goes", "none"])
    def test_without_an_id_is_none(self, before: str, after: str) -> None:
        found = cluster(node(boot=before), pod(reports=[said(10, (LLAMA,))]))
        found.put("nodes", node(boot=after, cordoned=True), EPOCH)
        found.put("nodes", node(boot=after), EPOCH)
        assert warm(found, LLAMA) == ["n"]

    def test_is_seen_across_a_moment_without_an_id(self) -> None:
        found = cluster(node(boot="one"), pod(reports=[said(10, (LLAMA,))]))
        found.put("nodes", node(boot=""), EPOCH + 20)
        found.put("nodes", node(boot="two"), EPOCH + 20)
        assert warm(found, LLAMA) == []

    def test_after_a_clock_ran_ahead_does_not_silence_later_reports(self) -> None:
        found = cluster(node(boot="one"), pod("old", reports=[said(3000, (LLAMA,))]))
        found.put("nodes", node(boot="two"), EPOCH + 20)
        assert warm(found, LLAMA) == []
        found.put("pods", pod("new", reports=[said(30, (QWEN,))]), EPOCH + 31)
        assert warm(found, QWEN) == ["n"]
        assert found.planned("n")[names.NODE_LABEL_BOOT] == f"{names.digest16('two')}.{EPOCH + 30}"

    def test_of_another_machine_under_the_same_name(self) -> None:
        found = cluster(node(uid="1"), pod(reports=[said(10, (LLAMA,))]))
        found.put("nodes", node(uid="2"), EPOCH + 20)
        assert warm(found, LLAMA) == []

    def test_of_a_node_that_was_deleted_in_between(self) -> None:
        old = pod(reports=[said(10, (LLAMA,))])
        found = cluster(node(uid="1"), old)
        found.remove("nodes", node(uid="1"), EPOCH + 20)
        found.put("nodes", node(uid="2"), EPOCH + 21)
        found.replace("pods", [old], EPOCH + 22)
        assert warm(found, LLAMA) == []

    @pytest.mark.parametrize("order", [("nodes", "pods"), ("pods", "nodes")])
    def test_of_an_earlier_node_of_that_name_that_nobody_watched(self, order: tuple[Resource, ...]) -> None:
        """A pod that ended on it may still be there when a controller starts."""
        created = datetime.fromtimestamp(EPOCH + 15, UTC).isoformat()
        old, new = said(10, (LLAMA,)), said(20, (QWEN,))
        found = Cluster(Rules())
        listed: dict[Resource, list[Any]] = {
            "nodes": [node(created=created)],
            "pods": [pod("a", reports=[old]), pod("b", reports=[new])],
        }
        for resource in order:
            found.replace(resource, listed[resource], EPOCH + 30)
        assert (warm(found, LLAMA), warm(found, QWEN)) == ([], ["n"])


class TestARestart:
    """A new controller has the nodes' labels and whatever pods are left."""

    def before(self) -> Cluster:
        return cluster(node(), pod("a", reports=[said(10, (LLAMA,))]), pod("b", reports=[said(20, (LLAMA,), (QWEN,))]))

    def test_keeps_models_by_their_labels_and_their_names_from_the_snapshot(self) -> None:
        before = self.before()
        after = cluster(labelled(before), restored=before.inventory(EPOCH))
        assert warm(after, LLAMA) == warm(after, QWEN) == ["n"]
        assert after.behind() == []
        artifact = after.inventory(EPOCH).model(LLAMA, "team")
        assert artifact is not None
        assert artifact.bytes == 15 * GIB

    def test_without_the_snapshot_they_are_known_by_label(self) -> None:
        after = cluster(labelled(self.before()))
        (first, second) = after.inventory(EPOCH).artifacts
        assert {first.label, second.label} == {names.model_label(LLAMA, "team"), names.model_label(QWEN, "team")}
        assert (first.kind, first.name, first.nodes, first.unlabelled) == ("model", "", (0,), 0)
        assert warm(after, LLAMA) == ["n"]

    def test_does_not_take_an_old_report_for_the_latest_word(self) -> None:
        """The pod that reported the second model is gone, the one from before it is still there."""
        after = cluster(labelled(self.before()), pod("a", reports=[said(10, (LLAMA,))]))
        assert warm(after, QWEN) == ["n"]
        assert after.behind() == []

    def test_believes_what_was_reported_since_the_labels_were_written(self) -> None:
        after = cluster(labelled(self.before()), pod("c", reports=[said(30, (LLAMA,))]))
        assert warm(after, LLAMA) == ["n"]
        before = self.before()
        after = cluster(labelled(before), pod("c", reports=[said(30, (LLAMA,))]), restored=before.inventory(EPOCH))
        assert warm(after, QWEN) == []
        assert after.behind() == ["n"]

    def test_a_name_that_another_node_reports_is_a_name(self) -> None:
        after = cluster(labelled(self.before()), node("m"), pod("c", node="m", reports=[said(30, (QWEN,))]))
        assert warm(after, QWEN) == ["m", "n"]

    def test_a_name_may_come_later(self) -> None:
        before = self.before()
        after = cluster(labelled(before), node("m"))
        assert {artifact.name for artifact in after.inventory(EPOCH).artifacts} == {""}
        after.put("pods", pod("c", node="m", reports=[said(30, (QWEN,))]), EPOCH)
        assert warm(after, QWEN) == ["m", "n"]
        after.restore(before.inventory(EPOCH))
        assert warm(after, LLAMA) == ["n"]
        after.remove("nodes", node("m"), EPOCH)
        assert warm(after, QWEN) == ["n"]

    def test_a_name_that_comes_later_may_be_that_of_a_model_that_is_gone(self) -> None:
        after = cluster(labelled(self.before()), node("m"), pod("c", reports=[said(30, (LLAMA,))]))
        assert len(after.inventory(EPOCH).artifacts) == 2
        after.put("pods", pod("d", node="m", reports=[said(30, (QWEN,))]), EPOCH)
        assert warm(after, QWEN) == ["m"]

    def test_labels_of_another_boot_are_not_believed(self) -> None:
        after = cluster(labelled(self.before(), boot="two"), pod("a", reports=[said(10, (LLAMA,))]))
        assert warm(after, LLAMA) == warm(after, QWEN) == []
        assert after.planned("n") == {}
        assert after.behind() == ["n"]

    def test_after_a_reboot_new_reports_are_believed(self) -> None:
        after = cluster(labelled(self.before(), boot="two"), pod("c", reports=[said(30, (QWEN,))]))
        assert warm(after, QWEN) == ["n"]

    def test_labels_without_a_boot_are_not_believed(self) -> None:
        labels = dict(self.before().planned("n"))
        del labels[names.NODE_LABEL_BOOT]
        assert warm(cluster(node(labels=labels)), LLAMA) == []

    @pytest.mark.parametrize("mark", ["", ".", ".x", ".99999999999999999999", ".-1", ".²"])
    def test_a_boot_label_without_a_time_will_do(self, mark: str) -> None:
        labels = {**self.before().planned("n"), names.NODE_LABEL_BOOT: names.digest16("boot") + mark}
        after = cluster(node(labels=labels))
        assert warm(after, QWEN) == ["n"]

    def test_nodes_without_a_boot_id_keep_theirs_too(self) -> None:
        before = cluster(node(boot=""), pod(reports=[said(10, (LLAMA,))]))
        assert warm(cluster(labelled(before, boot="")), LLAMA) == ["n"]
        assert warm(cluster(labelled(before, boot="real")), LLAMA) == []

    def test_what_a_snapshot_says_of_a_label_that_is_not_that_models_is_not_believed(self) -> None:
        before = self.before()
        inventory = before.inventory(EPOCH)
        forged = [
            type(each)(each.kind, "s3://evil/", each.tenant, 1, each.label, each.mask) for each in inventory.artifacts
        ]
        after = cluster(labelled(before), restored=Inventory(artifacts=forged))
        assert {artifact.name for artifact in after.inventory(EPOCH).artifacts} == {""}

    def test_the_time_in_the_boot_label_moves_only_when_models_come_or_go(self) -> None:
        found = self.before()
        planned = found.planned("n")
        found.put("nodes", labelled(found), EPOCH)
        found.put("pods", pod("d", reports=[said(50, (LLAMA,), (QWEN,))]), EPOCH)
        assert found.planned("n") == planned
        assert found.behind() == []
        found.put("pods", pod("e", reports=[said(60, (LLAMA,))]), EPOCH)
        assert found.planned("n")[names.NODE_LABEL_BOOT] == f"{names.digest16('boot')}.{EPOCH + 60}"


class TestForgedReports:
    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            pytest.param("", None, id="empty"),
            pytest.param("Traceback (most recent call last):", "unreadable", id="a log"),
            pytest.param("[" * 4096, "unreadable", id="brackets"),
            pytest.param('{"models":' + "[" * 4000, "unreadable", id="brackets inside"),
            pytest.param('{"schema":1,"result":"hit","models":[', "unreadable", id="truncated"),
            pytest.param('{"schema":1,"result":"hit"}' + " " * 4096, "unreadable", id="too long"),
            pytest.param('{"schema":1,"result":"hit"}' + "é" * 2040, "unreadable", id="too long in bytes"),
            pytest.param('{"schema":1}', "unreadable", id="no result"),
            pytest.param('{"schema":1,"result":"won"}', "unreadable", id="another result"),
            pytest.param('{"schema":1,"result":"hit","models":null}', "unreadable", id="null models"),
            pytest.param('{"schema":2,"result":"hit","models":"?"}', "schema", id="another schema"),
            pytest.param('{"schema":2,"result":"hit"}', "schema", id="another schema that reads well"),
            pytest.param('{"schema":null}', "unreadable", id="no schema"),
            pytest.param("\udc80", "unreadable", id="half a character"),
        ],
    )
    def test_are_refused(self, message: str, reason: str | None) -> None:
        reporter = pod(reports=[said(10, (LLAMA,))])
        assert reporter.status is not None
        assert reporter.status.init_container_statuses is not None
        state = reporter.status.init_container_statuses[0].state
        assert state is not None
        assert state.terminated is not None
        state.terminated.message = message
        found = cluster(node(), reporter)
        assert found.inventory(EPOCH).artifacts == ()
        assert found.refused == ({reason: 1} if reason else {})
        found.put("pods", reporter, EPOCH)
        assert found.refused == ({reason: 1} if reason else {}), "a report is counted once"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            pytest.param({"source": "http://x/"}, "source", id="another scheme"),
            pytest.param({"source": "s3://"}, "source", id="no bucket"),
            pytest.param({"source": "s3://b/\x1b[31m"}, "source", id="control characters"),
            pytest.param({"source": "s3://b/" + "x" * 1024}, "unreadable", id="a long source"),
            pytest.param({"version": "v" * 65}, "unreadable", id="a long version"),
            pytest.param({"bytes": -1}, "unreadable", id="a negative size"),
            pytest.param({"bytes": 10**30}, "unreadable", id="a size beyond reason"),
            pytest.param({"bytes": 1.5}, "unreadable", id="half a byte"),
            pytest.param({"tenant": None}, "unreadable", id="a null tenant"),
            pytest.param({"tenant": "x" * 254}, "unreadable", id="a long tenant"),
            pytest.param({"cache": "x" * 254}, "unreadable", id="a long cache"),
            pytest.param({"directory": "../../etc"}, "unreadable", id="a directory of nobody's"),
            pytest.param({"directory": "0" * 16 + "\n"}, "unreadable", id="a directory and a line"),
        ],
    )
    def test_with_one_bad_statement_are_refused_whole(self, change: Mapping[str, Any], reason: str) -> None:
        found = cluster(node(), pod(reports=[said(10, (QWEN,), {**held(LLAMA), **change})]))
        assert found.inventory(EPOCH).artifacts == ()
        assert found.refused == {reason: 1}

    @given(st.from_regex(r"(?:s3://[a-z0-9-]{3,10}|file:///x)(?:/[A-Za-z0-9_.=+@,~:!-]{1,8}){0,3}/?", fullmatch=True))
    def test_never_for_a_source_that_a_policy_can_allow(self, source: str) -> None:
        canonical = canonical_source(source)
        if canonical is not None:
            found = cluster(node(), pod(reports=[said(10, (canonical,))]))
            assert warm(found, canonical) == ["n"]

    @pytest.mark.parametrize("time", [None, "", "yesterday", "2026-01-01T00:00:00", "9" * 50])
    def test_without_a_time_are_refused(self, time: str | None) -> None:
        found = cluster(node(), pod(reports=[{**said(10, (LLAMA,)), "finishedAt": time}]))
        assert found.inventory(EPOCH).artifacts == ()
        assert found.refused == {"undated": 1}

    def test_cannot_fill_memory(self) -> None:
        found = cluster(node())
        for number in range(40):
            models = [(f"s3://b/{number}/{each}/", "team", "v", 1) for each in range(30)]
            found.put("pods", pod(f"p{number}", reports=[said(number, *models, omitted=1)]), EPOCH)
            found.remove("pods", pod(f"p{number}"), EPOCH)
        state = found._fleet.nodes["n"]
        assert len(state.named) == MOST_FACTS
        assert len(found._fleet.models._models) == MOST_FACTS

    def test_nor_can_names_of_nodes_that_are_gone(self) -> None:
        found = cluster()
        for number in range(10):
            found.put("pods", pod("p", node=f"n{number}", uid=str(number), reports=[said(1, (LLAMA,))]), EPOCH)
            found.put("nodes", node(f"n{number}"), EPOCH)
            found.remove("nodes", node(f"n{number}"), EPOCH)
        assert list(found._fleet.nodes) == ["n9"]
        found.replace("pods", [], EPOCH)
        assert found._fleet.nodes == {}
        assert found._fleet.models._models == {}

    def test_of_another_container_are_no_reports(self) -> None:
        reporter = pod(reports=[said(10, (LLAMA,))])
        assert reporter.status is not None
        assert reporter.status.init_container_statuses is not None
        reporter.status.init_container_statuses[0].name = "warmpod-hydrate2"
        assert cluster(node(), reporter).inventory(EPOCH).artifacts == ()

    def test_take_no_more_than_their_share_of_the_labels(self) -> None:
        honest = [image(f"docker.io/x/{n}:1", (n + 2) * GIB) for n in range(8)]
        forged = [(f"s3://b/{n}/", "evil", "v", 2**53) for n in range(30)]
        found = cluster(
            node(images=honest),
            pod("honest", reports=[said(10, (LLAMA,))]),
            pod("forger", namespace="evil", reports=[said(20, *forged)]),
            max_labels=20,
        )
        artifacts = found.inventory(EPOCH).artifacts
        assert sum(artifact.tenant == "evil" for artifact in artifacts) == 4
        assert warm(found, LLAMA) == ["n"]
        assert len(found.planned("n")) == 20
