"""Laws: whatever way the facts came, the inventory is that of the facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inventory.api import EPOCH, GIB, digest, image, in_zone, namespace, node, pod, ran, read, said, volume
from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster, Rules
from webhook.inventory.objects import Pod, PodStatus, Resource, Watched

NODES = ("a", "b", "c")
IMAGES = [image(f"docker.io/x/{name}:1", size * GIB, of=f"{name}{size}") for name in "uvw" for size in (1, 2, 3)]
SOURCES = ("s3://b/one/", "s3://b/two/")
RULES = Rules(max_images=3, max_labels=7, cluster_cache_namespaces=("shared",))
END = EPOCH + 80_000.0
RESOURCES: tuple[Resource, ...] = (
    "nodes",
    "pods",
    "namespaces",
    "persistentvolumes",
    "resourceslices",
    "resourceclaims",
    "resourceclaimtemplates",
)

Event = tuple[str, Any]


@dataclass
class World:
    """The objects as they stand, and what a controller that saw everything has a right to remember."""

    objects: dict[Resource, dict[str, Watched]] = field(default_factory=lambda: {each: {} for each in RESOURCES})
    boots: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[Any]] = field(default_factory=lambda: {each: [] for each in NODES})

    def put(self, resource: Resource, key: str, made: Watched) -> None:
        self.objects[resource][key] = made

    def lists(self, *, remembered: bool) -> dict[Resource, list[Watched]]:
        """Full lists. `remembered`: the pods as they are, but for their reports, which are pods that ended instead."""
        found = {resource: list(objects.values()) for resource, objects in self.objects.items()}
        if remembered:
            found["pods"] = [*(_silent(each) for each in found["pods"]), *_tombs(self.reports)]
        return found


def _silent(of: Any) -> Pod:
    return Pod(of.metadata, of.spec, PodStatus(of.status.phase, of.status.container_statuses))


def _tombs(reports: dict[str, list[Any]]) -> Iterable[Watched]:
    for name, each in reports.items():
        for number, (team, words) in enumerate(each):
            yield pod(f"tomb-{name}-{number}", node=name, namespace=team, reports=[words], phase="Succeeded")


MODELS = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(["team", "team", "", "evil"]), st.sampled_from("vw")),
    max_size=2,
    unique_by=lambda model: model[:2],
)
REPORT = st.fixed_dictionaries(
    {
        "models": MODELS,
        "evicted": st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from(["team", ""])), max_size=1),
        "omitted": st.sampled_from([0, 0, 1]),
    }
)
CONTAINER = st.builds(
    lambda name, version, running, at: ran(name, of=version, running=running, at=at),
    st.sampled_from(["docker.io/x/u:1", "docker.io/x/v:1"]),
    st.sampled_from(["u1", "u2", "v3", "w2"]),
    st.booleans(),
    st.integers(0, 3),
)
NODE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NODES),
        "images": st.lists(st.sampled_from(IMAGES), max_size=3, unique_by=lambda each: str(each["names"])),
        "boot": st.sampled_from(["one", "one", "one", "two"]),
        "uid": st.sampled_from(["1", "1", "1", "2"]),
        "ready": st.sampled_from([True, True, False]),
        "gpus": st.sampled_from([8, 8, 4, None]),
        "labels": st.sampled_from([{}, {"zone": "x"}, {"zone": "y"}]),
        "taints": st.sampled_from([[], [("gpu", "", "NoSchedule")]]),
        "os_image": st.sampled_from(["", "Amazon Linux 2023.8", "Bottlerocket OS 1.44.0"]),
        "kubelet": st.sampled_from(["", "v1.35.1-eks-1", "v1.36.0"]),
    }
)
POD = st.fixed_dictionaries(
    {
        "name": st.sampled_from("pq"),
        "node": st.sampled_from(NODES),
        "namespace": st.sampled_from(["team", "team", "shared", "evil"]),
        "containers": st.lists(CONTAINER, max_size=1),
        "reports": st.lists(REPORT, max_size=1),
        "gpus": st.integers(0, 3),
        "phase": st.sampled_from(["Running", "Succeeded", "Pending"]),
    }
)
ANY_NODE = st.sampled_from(NODES)
EVENT: st.SearchStrategy[Event] = st.one_of(
    st.tuples(st.just("node"), NODE),
    st.tuples(st.just("node"), NODE),
    st.tuples(st.just("pod"), POD),
    st.tuples(st.just("pod"), POD),
    st.tuples(st.just("label"), ANY_NODE),
    st.tuples(st.just("remove node"), ANY_NODE),
    st.tuples(st.just("remove pod"), st.tuples(st.sampled_from("pq"), ANY_NODE)),
    st.tuples(st.just("relist"), st.sampled_from(RESOURCES)),
    st.tuples(st.just("namespace"), st.tuples(st.sampled_from(["team", "shared"]), st.sampled_from("xy"))),
    st.tuples(st.just("slice"), st.tuples(ANY_NODE, st.integers(0, 2), st.integers(1, 2))),
    st.tuples(st.just("claim"), st.tuples(ANY_NODE, st.integers(0, 2))),
    st.tuples(st.just("remove claim"), ANY_NODE),
    st.tuples(
        st.just("volume"),
        st.tuples(st.sampled_from("vw"), st.sampled_from("xyz"), st.sampled_from(["Bound", "Available"])),
    ),
    st.tuples(st.just("remove volume"), st.sampled_from("vw")),
)
EVENTS = st.lists(EVENT, min_size=6, max_size=24)


def play(events: Sequence[Event], cluster: Cluster, check: Callable[[], None] = lambda: None) -> World:
    """Let it all happen, one event a second, with the API server's view kept beside."""
    return play_timed(list(enumerate(events, 1)), cluster, check)


def play_timed(events: Sequence[tuple[int, Event]], cluster: Cluster, check: Callable[[], None]) -> World:
    world = World()
    for resource in RESOURCES:
        cluster.replace(resource, [], EPOCH)
    for number, (what, details) in events:
        _happen(world, cluster, what, details, number)
        check()
    return world


def _happen(world: World, cluster: Cluster, what: str, details: Any, number: int) -> None:
    at = EPOCH + number + 0.5
    if what == "node":
        name = details["name"]
        known: Any = world.objects["nodes"].get(name)
        ours = cluster.observed(name) if known is not None and known.metadata.uid == details["uid"] else {}
        boot = "" if name == NODES[-1] else details["boot"]  # some nodes never have one
        made = node(**{**details, "boot": boot, "labels": {**details["labels"], **ours}})
        if known is not None and (known.metadata.uid, world.boots[name]) != (details["uid"], boot):
            world.reports[name].clear()
        world.boots[name] = boot
        world.put("nodes", name, made)
        cluster.put("nodes", made, at)
    elif what == "label":
        known = world.objects["nodes"].get(details)
        if known is not None:
            labels = {key: value for key, value in (known.metadata.labels or {}).items() if "warmpod" not in key}
            made = read("nodes", _plain(known))
            made.metadata.labels = {**labels, **cluster.planned(details)}
            world.put("nodes", details, made)
            cluster.put("nodes", made, at)
    elif what == "remove node":
        gone = world.objects["nodes"].pop(details, None)
        if gone is not None:
            world.reports[details].clear()
            world.boots.pop(details)
            cluster.remove("nodes", gone, at)
    elif what == "pod":
        # A pod stays on its node and in its namespace.
        key = f"{details['name']}-{details['node']}"
        before: Any = world.objects["pods"].get(key)
        team = before.metadata.namespace if before is not None else details["namespace"]
        reports = [_report(number, **each) for each in details["reports"]]
        made_pod = pod(**{**details, "name": key, "namespace": team, "reports": reports})
        world.reports[details["node"]] += [(team, words) for words in reports]
        world.put("pods", key, made_pod)
        cluster.put("pods", made_pod, at)
    elif what == "remove pod":
        name, where = details
        gone = world.objects["pods"].pop(f"{name}-{where}", None)
        if gone is not None:
            cluster.remove("pods", gone, at)
            left = [each for each in world.objects["pods"].values() if each.spec.node_name == where]  # type: ignore[union-attr]  # pods are among what is watched, and these have a spec
            if not left and where not in world.objects["nodes"]:
                world.reports[where].clear()  # nothing is left of that name
    elif what == "relist":
        cluster.replace(details, world.lists(remembered=False)[details], at)
    else:
        resource, key, made_other = _other(what, details)
        if made_other is None:
            gone = world.objects[resource].pop(key, None)
            if gone is not None:
                cluster.remove(resource, gone, at)
        else:
            world.put(resource, key, made_other)
            cluster.put(resource, made_other, at)


def _report(number: int, models: Any, evicted: Any, omitted: int) -> dict[str, Any]:
    return said(number, *[(*model, 5 * GIB) for model in models], evicted=evicted, omitted=omitted)


def _other(what: str, details: Any) -> tuple[Resource, str, Watched | None]:
    if what == "namespace":
        name, value = details
        return "namespaces", name, namespace(name, level=value)
    if what == "volume":
        name, zone, phase = details
        return "persistentvolumes", name, volume(name, claim=f"team/{zone}", terms=[in_zone(zone)], phase=phase)
    if what == "remove volume":
        return "persistentvolumes", details, None
    if what == "slice":
        name, devices, generation = details
        return "resourceslices", f"s-{name}-{generation}", read("resourceslices", offered(name, devices, generation))
    if what == "claim":
        name, devices = details
        return "resourceclaims", name, read("resourceclaims", claim(name, devices))
    return "resourceclaims", details, None


def offered(name: str, devices: int, generation: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": f"s-{name}-{generation}"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "pool": {"name": name, "generation": generation},
            "nodeName": name,
            "devices": [{"name": f"gpu-{number}"} for number in range(devices)],
        },
    }


def claim(name: str, devices: int) -> dict[str, Any]:
    results = [{"driver": "gpu.nvidia.com", "pool": name, "device": f"gpu-{number}"} for number in range(devices)]
    return {
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}},
        "status": {"allocation": {"devices": {"results": results}}},
    }


def _plain(of: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(of))
    return found


def everything(of: Cluster) -> tuple[Any, ...]:
    """All that a cluster says, at the end."""
    inventory = of.inventory(END)
    return (
        snapshot.encode(inventory),
        inventory.id,
        of.behind(),
        {name: dict(of.planned(name)) for name in NODES},
        {name: dict(of.observed(name)) for name in NODES},
        {name: of.uid(name) for name in NODES},
        of.due(),
        of.synced,
    )


def folded(lists: dict[Resource, list[Watched]], order: Sequence[Resource]) -> Cluster:
    found = Cluster(RULES)
    for resource in order:
        found.replace(resource, lists[resource], END)
    return found


SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(EVENTS, st.permutations(RESOURCES))
def test_a_list_and_any_events_are_the_final_list(happened: list[Event], order: list[Resource]) -> None:
    """Beside the final list a fold remembers reports of pods that are gone, of this boot of this node: nothing else."""
    cluster = Cluster(RULES)
    world = play(happened, cluster)
    assert everything(cluster) == everything(folded(world.lists(remembered=True), order))


@SLOW
@given(EVENTS)
def test_what_is_said_in_between_makes_no_difference(happened: list[Event]) -> None:
    asked, unasked = Cluster(RULES), Cluster(RULES)
    at = iter(range(1, 1000))

    def ask() -> None:
        asked.inventory(EPOCH + next(at))
        asked.behind()

    play(happened, asked, ask)
    play(happened, unasked)
    assert everything(asked) == everything(unasked)


@SLOW
@given(EVENTS)
def test_relisting_what_is_known_changes_nothing(happened: list[Event]) -> None:
    cluster = Cluster(RULES)
    world = play(happened, cluster)
    before, version, placed, refused = everything(cluster), cluster.version, +cluster.placements, +cluster.refused
    for resource in RESOURCES:
        cluster.replace(resource, world.lists(remembered=False)[resource], END)
    assert everything(cluster) == before
    assert (cluster.version, cluster.placements, cluster.refused) == (version, placed, refused)


@SLOW
@given(EVENTS, st.randoms(use_true_random=False))
def test_nodes_may_come_in_any_order(happened: list[Event], random: Any) -> None:
    """What happens on one node keeps its order, what happens on different nodes does not matter to each other's."""
    happened = [event for event in happened if event[0] not in ("relist", "label")]
    streams: dict[str, list[tuple[int, Event]]] = {}
    for number, event in enumerate(happened, 1):
        streams.setdefault(_of_node(event), []).append((number, event))
    mixed: list[tuple[int, Event]] = []
    while streams:
        chosen = random.choice(sorted(streams))
        mixed.append(streams[chosen].pop(0))
        if not streams[chosen]:
            del streams[chosen]
    first, second = Cluster(RULES), Cluster(RULES)
    play(happened, first)
    play_timed(mixed, second, lambda: None)
    assert everything(first) == everything(second)


def _of_node(event: Event) -> str:
    what, details = event
    if what == "node":
        return str(details["name"])
    if what == "pod":
        return str(details["node"])
    if what == "remove pod":
        return str(details[1])
    if what in ("remove node", "remove claim"):
        return str(details)
    if what in ("slice", "claim"):
        return str(details[0])
    if "volume" in what:
        return f"volume {details[0]}"
    return f"{what} {details[0]}"


@SLOW
@given(EVENTS)
def test_the_version_grows_with_every_change_of_the_inventory(happened: list[Event]) -> None:
    cluster = Cluster(RULES)
    seen = [(cluster.version, cluster.inventory(END).id)]

    def compare() -> None:
        version = cluster.version
        identity = cluster.inventory(END).id
        assert version > seen[-1][0] or identity == seen[-1][1]
        seen.append((cluster.version, identity))

    play(happened, cluster, compare)


@SLOW
@given(EVENTS)
def test_ids_tell_contents_apart(happened: list[Event]) -> None:
    cluster = Cluster(RULES)
    contents: dict[str, bytes] = {}

    def note() -> None:
        inventory = cluster.inventory(END)
        content = snapshot.encode(inventory)
        assert contents.setdefault(inventory.id, content) == content

    play(happened, cluster, note)
    assert len(set(contents.values())) == len(contents)


FORGERIES = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(["team", "", "evil", "shared"]), st.sampled_from("vwx")),
    min_size=1,
    max_size=3,
)


@SLOW
@given(EVENTS, st.sampled_from(NODES), FORGERIES, st.booleans())
def test_a_report_changes_nothing_of_another_tenant(
    happened: list[Event], where: str, forged: list[Any], is_late: bool
) -> None:
    """With labels enough for all; with few, the share of the labels is what tenants take from each other."""
    rules = Rules(max_images=3, max_labels=200, cluster_cache_namespaces=("shared",))
    cluster = Cluster(rules)
    play(happened, cluster)
    before = cluster.inventory(END)
    words = said(70_000 if is_late else 1, *[(*model, 1) for model in forged], evicted=[(SOURCES[0], "team")])
    cluster.put("pods", pod("forger", node=where, namespace="evil", reports=[words]), END)
    after = cluster.inventory(END)
    assert _of_others(before) == _of_others(after)
    assert after.nodes == before.nodes


def _of_others(inventory: Any) -> list[Any]:
    return [
        (each.kind, each.name, each.tenant, each.bytes, each.mask, each.unlabelled)
        for each in inventory.artifacts
        if each.tenant != "evil" and each.name
    ]


def test_the_laws_are_about_something() -> None:
    """The fold of a plain story has what the laws speak of."""
    cluster = Cluster(RULES)
    plain = {"boot": "one", "uid": "1", "ready": True, "gpus": 8, "labels": {}, "taints": []}
    reported = {"models": [(SOURCES[0], "team", "v")], "evicted": [], "omitted": 0}
    worked = {"namespace": "team", "containers": [], "gpus": 2, "phase": "Running", "reports": [reported]}
    story: list[Event] = [
        ("node", {"name": "a", "images": [IMAGES[1]], **plain}),
        ("pod", {"name": "p", "node": "a", **worked}),
        ("remove pod", ("p", "a")),
        ("slice", ("a", 2, 1)),
        ("claim", ("a", 1)),
        ("namespace", ("team", "x")),
    ]
    play(story, cluster)
    inventory = cluster.inventory(END)
    assert [(each.kind, each.name) for each in inventory.artifacts] == [
        ("image", "docker.io/x/u:1"),
        ("image", f"docker.io/x/u@{digest('u2')}"),
        ("model", SOURCES[0]),
    ]
    assert inventory.nodes[0].accelerators == {"nvidia.com/gpu": (8, 8), "gpu.nvidia.com": (2, 1)}
    assert inventory.namespaces == {"team": {"level": "x"}}
    assert inventory.claims == {"team/a": ("gpu.nvidia.com",)}
