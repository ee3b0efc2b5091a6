from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders, scheduler, strategies
from webhook.inventory import nodeset
from webhook.inventory.candidates import Demand, claims_of, demand_of, terms_of_claims
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.kube import Object, footprint, names
from webhook.kube.toleration import tolerates

GPU = "nvidia.com/gpu"
OURS = names.image_label("docker.io/library/x:1")
OTHER = names.image_label("docker.io/library/y:1")
KEYS = ("zone", "cores", "host", OURS, OTHER)
VALUES = ("a", "b", "", "8", "08", "-3", "9", "warm")
TAINTS = st.tuples(
    st.sampled_from(["gpu", "team"]),
    st.sampled_from(["", "a", "5", "05"]),
    st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"]),
)


def row(index: int, labels: Mapping[str, str], taints: set[tuple[str, str, str]], room: tuple[int, int]) -> Object:
    able, free = max(room), min(room)
    return {"name": f"n{index}", "labels": labels, "taints": taints, "room": {GPU: (able, free)} if able else {}}


def column_wise(rows: list[Object]) -> Inventory:
    """What a controller makes of these nodes: columns, and our own labels as what the artifacts' nodes bear."""
    columns: dict[str, dict[str, int]] = {}
    tainted: dict[tuple[str, str, str], int] = {}
    held = {OURS: 0}
    for index, each in enumerate(rows):
        for key, value in each["labels"].items():
            if key in held:
                held[key] |= 1 << index if value == "warm" else 0
            elif not key.startswith(names.NODE_LABEL_PREFIX):
                values = columns.setdefault(key, {})
                values[value] = values.get(value, 0) | 1 << index
        for taint in each["taints"]:
            tainted[taint] = tainted.get(taint, 0) | 1 << index
    everyone = nodeset.all_of(len(rows))
    image = Artifact("image", "docker.io/library/x:1", "", 1, OURS, everyone, everyone & ~held[OURS])
    return Inventory(
        nodes=[NodeRoom(each["name"], each["room"]) for each in rows],
        artifacts=[image],
        labels=columns,
        taints=[Taint(key, value, effect, mask) for (key, value, effect), mask in tainted.items()],
    )


def allowed(each: Object, pod: Object) -> bool:
    # Of ours, nodes bear what artifacts say that they bear.
    labels = {key: value for key, value in each["labels"].items() if key != OTHER and (key != OURS or value == "warm")}
    return scheduler.allows(pod, each["name"], labels, each["taints"])


ROWS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4),
        st.sets(TAINTS, max_size=2),
        st.tuples(st.integers(0, 8), st.integers(0, 8)),
    ),
    max_size=12,
).map(lambda some: [row(index, *each) for index, each in enumerate(some)])
REQUIREMENTS = st.fixed_dictionaries(
    {
        "key": st.sampled_from(KEYS),
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equals"]),
    },
    optional={"values": st.lists(st.sampled_from([*VALUES, "7", "x"]), max_size=3) | st.none()},
)
FIELDS = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["metadata.name", "spec.x"]),
        "operator": st.sampled_from(["In", "NotIn", "Exists"]),
        "values": st.lists(st.sampled_from(["n0", "n1", "n9"]), max_size=2),
    }
)
TERMS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "matchExpressions": st.lists(REQUIREMENTS, max_size=3) | st.none(),
            "matchFields": st.lists(FIELDS, max_size=1),
        },
    ),
    max_size=3,
)
TOLERATIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "key": st.sampled_from(["gpu", "team", ""]),
            "operator": st.sampled_from(["Exists", "Equal", "", "Lt", "Gt", "Like"]),
            "value": st.sampled_from(["", "a", "5", "6", "06"]),
            "effect": st.sampled_from(["NoSchedule", "NoExecute", ""]),
        },
    ),
    max_size=3,
)
SELECTORS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)


@given(ROWS, st.none() | SELECTORS, st.none() | TERMS, st.none() | TOLERATIONS, st.integers(1, 9))
def test_columns_say_what_rows_say(
    rows: list[Object],
    selector: dict[str, str] | None,
    terms: list[Object] | None,
    tolerations: list[Object] | None,
    amount: int,
) -> None:
    pod = builders.edited(
        builders.pod(builders.container("c", "x:1", resources={"limits": {GPU: str(amount)}})),
        nodeSelector=selector,
        tolerations=tolerations,
    )
    if terms is not None:
        required = {"nodeSelectorTerms": terms}
        pod["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    found = column_wise(rows).candidates(demand_of(pod, frozenset({GPU})))
    able = [index for index, each in enumerate(rows) if each["room"].get(GPU, (0, 0))[0] >= amount]
    assert nodeset.indexes(found.able) == tuple(index for index in able if allowed(rows[index], pod))
    assert nodeset.indexes(found.roomy) == tuple(
        index for index in nodeset.indexes(found.able) if rows[index]["room"][GPU][1] >= amount
    )


@given(TOLERATIONS, TAINTS)
def test_tolerations(tolerations: list[Object], taint: tuple[str, str, str]) -> None:
    for toleration in tolerations:
        assert tolerates(toleration, *taint) == scheduler.tolerates(toleration, taint)


@given(strategies.sound_pods(), ROWS)
def test_any_pod_has_candidates_and_is_left_alone(pod: Object, rows: list[Object]) -> None:
    before = repr(pod)
    demand = demand_of(pod, frozenset({GPU}))
    found = column_wise(rows).candidates(demand)
    assert found.roomy & ~found.able == 0
    assert found.able & ~nodeset.all_of(len(rows)) == 0
    assert repr(pod) == before
    assert demand == demand_of(pod, frozenset({GPU}))


@given(strategies.json_values(), strategies.json_values(), strategies.json_values(), ROWS)
def test_whatever_stands_in_a_pod(selector: Any, terms: Any, tolerations: Any, rows: list[Object]) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    spec = {"nodeSelector": selector, "affinity": {"nodeAffinity": required}, "tolerations": tolerations}
    found = column_wise(rows).candidates(demand_of({"spec": spec}, frozenset()))
    assert found.roomy & ~found.able == 0


LABELLED = [row(index, {"zone": "ab"[index % 2], "cores": str(index)}, set(), (8, 8)) for index in range(4)]


@pytest.mark.parametrize(
    ("spec", "able"),
    [
        ({}, 0b1111),
        ({"nodeSelector": {"zone": "a"}}, 0b0101),
        ({"nodeSelector": {"zone": 5}}, 0),
        ({"nodeSelector": {"zone": ["a"]}}, 0),
        ({"nodeSelector": [], "tolerations": {}}, 0b1111),
    ],
    ids=["asks nothing", "a zone", "a number", "a list", "of wrong types"],
)
def test_selectors(spec: Object, able: int) -> None:
    assert column_wise(LABELLED).candidates(demand_of({"spec": spec}, frozenset())).able == able


def test_without_labels_no_selector_rules_out_a_node() -> None:
    inventory = Inventory(nodes=[NodeRoom("n0"), NodeRoom("n1")], taints=[Taint("a", "", "NoSchedule", 0b01)])
    pod = {"spec": {"nodeSelector": {"zone": "a"}, "tolerations": []}}
    assert inventory.candidates(demand_of(pod, frozenset())).able == 0b10


def test_the_amount_is_what_the_scheduler_counts() -> None:
    """Init containers take turns, so the larger counts; an amount that is no quantity counts as one."""
    asks = {"limits": {GPU: "3"}}
    pod = builders.pod(builders.container("a", resources=asks), builders.container("b", resources=asks))
    pod["spec"]["initContainers"] = [builders.container("i", resources={"limits": {GPU: "7"}})]
    assert footprint.effective_requests(pod)[GPU] == 7
    rooms = [NodeRoom("six", {GPU: (6, 6)}), NodeRoom("seven", {GPU: (7, 0)}), NodeRoom("eight", {GPU: (8, 7)})]
    found = Inventory(nodes=rooms).candidates(demand_of(pod, frozenset({GPU, "gpu.nvidia.com"})))
    assert (found.able, found.roomy) == (0b110, 0b100)


def test_equal_demands_are_worked_out_once() -> None:
    inventory = column_wise(LABELLED)
    pods = [{"spec": {"nodeSelector": {"zone": "a"}}} for _ in range(3)]
    answers = [inventory.candidates(demand_of(pod, frozenset({GPU}))) for pod in pods]
    assert all(answer is answers[0] for answer in answers)
    assert demand_of(pods[0], frozenset({GPU})) != demand_of(pods[0], frozenset())
    assert demand_of(pods[0], frozenset()) != "another thing"


def test_a_pod_that_asks_for_more_than_can_be_looked_at_has_its_amounts_only() -> None:
    """A tenant's pod must not hold up the others; that it is not looked at rules out no node."""
    hosts = {f"host-{index}": 1 << index for index in range(2000)}
    numbers = {str(index): 1 << index for index in range(2000)}
    inventory = Inventory(
        nodes=[NodeRoom(f"n{index}", {GPU: (8, 8)}) for index in range(2000)], labels={"host": hosts, "rank": numbers}
    )
    many: list[Object] = [
        {"matchExpressions": [{"key": "rank", "operator": "Gt", "values": [str(index)]}]} for index in range(100_000)
    ]
    assert inventory.candidates(Demand({GPU: 1}, {}, many, [])).able == nodeset.all_of(2000)
    assert inventory.candidates(Demand({GPU: 9}, {}, many, [])).able == 0
    assert inventory.candidates(Demand({GPU: 1}, {}, many[:1300], [])).able == nodeset.all_of(2000) & ~1
    ours = [
        {"matchExpressions": [{"key": OURS, "operator": "In", "values": ["warm"]}, *each["matchExpressions"]]}
        for each in many[:1300]
    ]
    assert Demand({GPU: 1}, {}, ours, []).is_modest, "our own labels must not make a second review see another pod"


def test_numbers_of_a_label_with_a_value_for_every_node_are_not_compared() -> None:
    count = 3000
    inventory = Inventory(
        nodes=[NodeRoom(f"n{index}") for index in range(count + 1)],
        labels={"stamp": {str(index): 1 << index for index in range(count)}},
    )
    terms = [{"matchExpressions": [{"key": "stamp", "operator": "Lt", "values": ["5"]}]}]
    assert inventory.candidates(Demand({}, {}, terms, [])).able == nodeset.all_of(count)


@given(ROWS, st.lists(TERMS, max_size=2))
def test_volumes_leave_the_nodes_that_each_of_them_can_be_reached_from(rows: list[Object], volumes: Any) -> None:
    inventory = column_wise(rows)
    asked = [terms for terms in volumes if terms]
    found = inventory.candidates(demand_of({"spec": {}}, frozenset(), asked)).able
    for index, each in enumerate(rows):
        pods = [_bound(terms) for terms in ([], *asked)]
        reached = all(allowed(each, {"spec": {**pod["spec"], "tolerations": []}}) for pod in pods)
        assert bool(found >> index & 1) == reached


def _bound(terms: list[Object]) -> Object:
    """A pod that must run where a volume of these terms can be reached: the algebra is the same."""
    if not terms:
        return {"spec": {}}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"spec": {"affinity": {"nodeAffinity": required}}}


ZONE_A, ZONE_B = ([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}] for zone in "ab")


@pytest.mark.parametrize(
    ("volumes", "claims"),
    [
        (None, []),
        ("x", []),
        ([{"name": "a", "persistentVolumeClaim": {"claimName": "one"}}, {"name": "b", "emptyDir": {}}], ["one"]),
        ([{"persistentVolumeClaim": {"claimName": "one"}}, {"persistentVolumeClaim": {"claimName": "one"}}], ["one"]),
        ([{"name": "a", "ephemeral": {"volumeClaimTemplate": {}}}, None, {"persistentVolumeClaim": None}], []),
        ([{"persistentVolumeClaim": {"claimName": 7}}, {"persistentVolumeClaim": {"claimName": ""}}], []),
    ],
    ids=["none", "garbage", "one of two", "twice", "ephemeral", "malformed"],
)
def test_the_claims_of_a_pod(volumes: Any, claims: list[str]) -> None:
    assert claims_of({"spec": {"volumes": volumes}}) == claims


def test_a_claim_restricts_by_the_volume_it_is_bound_to_in_its_own_namespace() -> None:
    known = {"team/a": tuple(ZONE_A), "team/b": tuple(ZONE_B), "other/c": tuple(ZONE_A), "team/free": ()}
    assert terms_of_claims(["a", "a", "free", "unknown", "c"], "team", known) == [tuple(ZONE_A)]
    both = terms_of_claims(["b", "a"], "team", known)
    assert both == terms_of_claims(["a", "b"], "team", known), "their order makes no other demand"
    inventory = Inventory(nodes=[NodeRoom("n0"), NodeRoom("n1")], labels={"zone": {"a": 0b01, "b": 0b10}})
    assert inventory.candidates(demand_of({"spec": {}}, frozenset(), [tuple(ZONE_A)])).able == 0b01
    assert inventory.candidates(demand_of({"spec": {}}, frozenset(), both)).able == 0


def test_a_volume_that_can_be_reached_from_nowhere_leaves_no_node() -> None:
    inventory = Inventory(nodes=[NodeRoom("n0")], labels={})
    assert inventory.candidates(demand_of({"spec": {}}, frozenset(), [({},)])).able == 0
