"""Watching the registration, telling of it, and restoring it: against a server that speaks the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.controller.kube_server import HTML, Fault, Trouble
from tests.controller.registrations import (
    ADDRESS,
    AUTHORITY,
    BACKUP,
    CONFIGURATION,
    CONFIGURATIONS,
    DEPLOYMENT,
    EVENTS,
    OTHER,
    OWN,
    Watcher,
    World,
    bundle,
    configuration,
    hook,
    play,
)
from tests.controller.test_verdict import OTHERS
from tests.scripted_http import Answer
from webhook.controller import backup, events
from webhook.controller.restoration import AFTER_SECONDS, MOST_SECONDS

Object = dict[str, Any]
PLENTY = 60.0
"""Seconds after which whatever is to happen has happened."""


def shape(document: Object | None) -> Object:
    """What people wrote of a configuration: no bundles, and no metadata of the API server."""
    assert document is not None
    return {
        "labels": document["metadata"].get("labels"),
        "webhooks": [
            {**one, "clientConfig": {key: value for key, value in one["clientConfig"].items() if key != "caBundle"}}
            for one in document["webhooks"]
        ],
    }


# --- telling


def test_all_is_well_and_nothing_is_written(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        watcher = Watcher(world, world.api, manages=False)
        assert await watcher.look(PLENTY) == "ok"
        assert world.writes() == []
        assert world.reasons() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        (None, "WebhookConfigurationMissing"),
        ([], "WebhookConfigurationEmpty"),
        ([OTHERS], "WebhookConfigurationEmpty"),
        ([hook(path="/x")], "WebhookConfigurationAstray"),
        ([hook(clientConfig={**hook()["clientConfig"], "caBundle": bundle(OTHER)})], "WebhookConfigurationDistrusted"),
    ],
    ids=["deleted", "emptied", "another's", "elsewhere", "distrusting"],
)
def test_what_lasts_is_told_by_one_event_and_its_end_by_another(
    tmp_path: Path, hooks: list[Object] | None, reason: str
) -> None:
    async def scenario(world: World) -> None:
        watcher = Watcher(world, world.api, manages=False)
        await watcher.look()
        if hooks is None:
            world.delete()
        else:
            world.edit(CONFIGURATION, webhooks=hooks)
        await watcher.look(5.0)
        assert world.reasons() == [], "what passes by is not told"
        await watcher.look(100.0)
        assert world.reasons() == [reason]
        (event,) = world.events()
        assert event["involvedObject"]["kind"] == "Deployment"
        assert event["involvedObject"]["uid"] == world.server.objects[DEPLOYMENT]["metadata"]["uid"]
        assert event["type"] == "Warning"
        await watcher.look(events.REPEAT_SECONDS)
        assert world.reasons() == [reason] * 2, "Events end after an hour, and what lasts is told again"
        world.server.put(CONFIGURATION, configuration())
        assert await watcher.look(PLENTY) == "ok"
        assert world.reasons()[2:] == ["WebhookConfigurationInOrder"]
        assert world.writes() == []

    play(tmp_path, scenario)


def test_followers_see_and_do_not_write(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.me.leading = False
        await world.me.look()
        world.delete()
        assert await world.me.look(PLENTY) == "missing"
        assert world.server.objects.keys() == {OWN, DEPLOYMENT}
        assert world.writes() == []

    play(tmp_path, scenario)


def test_events_are_few_whatever_happens(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(3 * events.MOST_PER_HOUR):
            await world.me.events.tell("Reason", f"news {number}")
            world.me.now += 1
        assert len(world.reasons()) == events.MOST_PER_HOUR
        world.me.now += 3600
        assert await world.me.events.tell("Reason", "an hour later")

    play(tmp_path, scenario)


def test_an_event_that_is_refused_is_not_tried_at_every_look(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.server.fault = lambda method, _path: Answer(403) if method == "POST" else None
        watcher = Watcher(world, world.api, manages=False)
        world.delete()
        await watcher.look(events.REPEAT_SECONDS - 10)
        assert len([one for one in world.server.seen if one.method == "POST"]) == 1

    play(tmp_path, scenario)


@pytest.mark.parametrize("length", [10, 1000, 100_000])
@pytest.mark.parametrize("letter", ["a", "ü", "\U0001f600"])
def test_messages_are_as_long_as_the_api_takes(length: int, letter: str) -> None:
    found = events.shortened(letter * length).encode()
    assert len(found) <= 1024
    assert len(letter.encode()) * length > 1000 or found == (letter * length).encode()


FAULTS: dict[str, Fault] = {
    "forbidden": Answer(403, b'{"kind":"Status","message":"no"}'),
    "unauthorized": Answer(401),
    "server error": Answer(500),
    "busy": Answer(429, headers={"Retry-After": "1"}),
    "HTML": HTML,
    "a list": Answer(200, b"[]"),
    "no metadata": Answer(200, b'{"kind":"x"}'),
    "cut": Trouble("cut"),
    "done and cut": Trouble("lost"),
}


def test_what_cannot_be_read_is_neither_in_order_nor_missing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        before = dict(world.server.objects)
        for name, fault in FAULTS.items():
            world.server.fault = lambda _method, _path, fault=fault: fault  # type: ignore[misc]  # bound now
            await world.me.look(AFTER_SECONDS)
            assert "the API server does not do what is asked" in (world.me.registration.failure or ""), name
            assert world.server.objects == before, name
            world.server.fault = lambda _method, _path: None
            assert await world.me.look() == "ok", name
            assert world.me.registration.failure is None, name

    play(tmp_path, scenario)


# --- restoring


@pytest.mark.parametrize("loss", ["deleted", "emptied"])
def test_it_comes_back_as_it_was_after_ten_seconds(tmp_path: Path, loss: str) -> None:
    async def scenario(world: World) -> None:
        world.edit(
            CONFIGURATION,
            metadata={"labels": {"team": "a"}},
            webhooks=[hook(timeoutSeconds=5, failurePolicy="Fail"), OTHERS],
        )
        await world.me.look()
        kept = json.loads(world.server.objects[BACKUP]["data"][backup.KEY])
        assert "caBundle" not in json.dumps(kept)
        world.lose(loss)
        await world.me.look(AFTER_SECONDS - 1)
        assert world.me.restoration.restored == 0
        assert await world.me.look(AFTER_SECONDS) == "ok"
        assert world.me.restoration.restored == 1
        assert shape(world.found) == {
            "labels": {"team": "a"},
            "webhooks": shape(configuration(hook(timeoutSeconds=5, failurePolicy="Fail")))["webhooks"],
        }
        assert world.found is not None
        assert world.found["webhooks"][0]["clientConfig"]["caBundle"] == bundle(AUTHORITY), (
            "trusted from the first call"
        )
        owners = world.found["metadata"].get("ownerReferences")
        uid = world.server.objects[OWN]["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Namespace", "name": OWN.rpartition("/")[2], "uid": uid}
        assert owners == ([owner] if loss == "deleted" else None), "what a person made is no child of ours"
        assert "WebhookConfigurationRestored" in world.reasons()

    play(tmp_path, scenario)


def test_a_new_leader_restores_from_what_the_last_one_kept(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        world.delete()
        other = Watcher(world, world.api, identity="other")
        assert await other.look(PLENTY) == "distrusting", "nobody told this one the bundle; the keeper puts it there"
        assert shape(world.found) == shape(configuration())

    play(tmp_path, scenario)


def gone(path: str) -> Callable[[World], None]:
    return lambda world: world.delete(path)


def going(path: str) -> Callable[[World], None]:
    return lambda world: world.edit(path, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})


LEAVING: dict[str, Callable[[World], None]] = {
    "namespace gone": gone(OWN),
    "namespace going": going(OWN),
    "namespace terminating": lambda world: world.edit(OWN, status={"phase": "Terminating"}),
    "deployment gone": gone(DEPLOYMENT),
    "deployment going": going(DEPLOYMENT),
    "scaled to nothing": lambda world: world.edit(DEPLOYMENT, spec={"replicas": 0}),
    "backup gone": gone(BACKUP),
}


@pytest.mark.parametrize("case", LEAVING)
def test_an_installation_that_goes_gets_nothing_back(tmp_path: Path, case: str) -> None:
    async def scenario(world: World) -> None:
        for order in ("before", "after"):
            whole = dict(world.server.objects)
            await world.me.look()
            if order == "before":
                LEAVING[case](world)
            world.delete()
            if order == "after":
                await world.me.look(AFTER_SECONDS - 1)
                LEAVING[case](world)
            writes = len(world.writes())
            await world.me.look(2 * PLENTY)
            assert world.found is None, order
            assert len(world.writes()) == writes, order
            assert world.me.restoration.restored == 0, order
            assert world.me.restoration.problem, order
            world.server.objects = whole

    play(tmp_path, scenario)


PARTS = {"namespace": OWN, "deployment": DEPLOYMENT, "backup": BACKUP, "configuration": CONFIGURATION}


@pytest.mark.parametrize("part", PARTS)
def test_who_cannot_see_does_not_restore(tmp_path: Path, part: str) -> None:
    """Whatever of the installation cannot be read: it might be going."""

    async def scenario(world: World) -> None:
        await world.me.look()
        world.delete()
        for fault in FAULTS.values():

            def answer(method: str, path: str, fault: Fault = fault) -> Fault | None:
                return fault if path == PARTS[part] and method == "GET" else None

            world.server.fault = answer
            await world.me.look(AFTER_SECONDS + 1)
            assert world.found is None, fault
        world.server.fault = lambda _method, _path: None
        assert await world.me.look(PLENTY) == "ok"

    play(tmp_path, scenario)


def test_ten_seconds_are_ten_seconds_in_which_it_was_seen_to_be_missing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        for _ in range(3):
            world.delete()
            await world.me.look(AFTER_SECONDS - 1)
            world.server.put(CONFIGURATION, configuration())
            await world.me.look()
        world.delete()
        await world.me.look(AFTER_SECONDS - 1)
        world.me.leading = False
        await world.me.look(PLENTY)
        world.me.leading = True
        await world.me.look(AFTER_SECONDS - 1)
        assert world.me.restoration.restored == 0

    play(tmp_path, scenario)


GARBAGE: dict[str, object] = {
    "no JSON": "{{{",
    "empty": "",
    "null": "null",
    "sent elsewhere": json.dumps(configuration(hook(clientConfig={"url": "https://evil.example/mutate"}))),
    "secrets": json.dumps(configuration(hook(rules=[{"apiGroups": [""], "resources": ["*"], "operations": ["*"]}]))),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_in_the_backup_is_never_registered(tmp_path: Path, case: str) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        world.delete()
        world.edit(BACKUP, data={backup.KEY: GARBAGE[case]})
        fresh = Watcher(world, world.api, identity="fresh")
        await fresh.look(PLENTY)
        assert world.found is None, "this one never saw a good one"
        assert "cannot be restored from" in (fresh.restoration.problem or "")
        assert "WebhookConfigurationNotRestored" in world.reasons()
        assert await world.me.look(PLENTY) == "ok", "this one did"
        assert shape(world.found) == shape(configuration())
        assert backup.restored(world.server.objects[BACKUP], "warmpod", ADDRESS), "and the backup is mended"

    play(tmp_path, scenario)


@pytest.mark.parametrize("hooks", [[OTHERS], [OTHERS, {**OTHERS, "name": "b.mesh.example"}]], ids=["one", "two"])
def test_a_configuration_of_another_product_is_left_alone(tmp_path: Path, hooks: list[Object]) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        kept = world.server.objects[BACKUP]
        world.server.put(CONFIGURATION, configuration(*hooks))
        theirs = world.found
        assert await world.me.look(PLENTY) == "foreign"
        assert world.found == theirs
        assert world.server.objects[BACKUP] == kept, "and what is kept is ours still"

    play(tmp_path, scenario)


CHANGES: dict[str, list[Object]] = {
    "selector": [hook(namespaceSelector={"matchLabels": {"a": "b"}})],
    "policy": [hook(timeoutSeconds=30, failurePolicy="Fail", matchConditions=[])],
    "audit": [hook(path="/mutate/audit")],
    "another's beside": [hook(), OTHERS],
    "path": [hook(path="/elsewhere")],
    "no rules": [hook(rules=[])],
    "URL": [hook(clientConfig={"url": "https://proxy.team.example/mutate"})],
}


def test_what_a_person_changed_is_theirs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        for change, hooks in CHANGES.items():
            world.edit(CONFIGURATION, webhooks=hooks)
            theirs = world.found
            await world.me.look(PLENTY)
            assert world.found == theirs, change

    play(tmp_path, scenario)


def test_what_leads_elsewhere_does_not_take_the_place_of_the_last_good_one(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        world.edit(CONFIGURATION, webhooks=[hook(path="/elsewhere")])
        await world.me.look(PLENTY)
        world.delete()
        assert await world.me.look(PLENTY) == "ok"
        assert shape(world.found) == shape(configuration())

    play(tmp_path, scenario)


def test_one_that_is_being_deleted_is_waited_for(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        world.edit(CONFIGURATION, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, webhooks=[])
        assert await world.me.look(PLENTY) == "leaving"
        assert world.me.restoration.restored == 0

    play(tmp_path, scenario)


def test_of_two_leaders_one_restores(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        other = Watcher(world, world.api, identity="other")
        for loss in ("deleted", "emptied"):
            await world.me.look()
            await other.look()
            world.lose(loss)
            # Step by step, so that both see it gone before either writes.
            for _ in range(10):
                for one in (world.me, other):
                    await one.look(AFTER_SECONDS / 2)
            assert shape(world.found) == shape(configuration())
        assert world.me.restoration.restored + other.restoration.restored == 2
        assert (world.me.restoration.problem, other.restoration.problem) == (None, None)

    play(tmp_path, scenario)


@pytest.mark.parametrize("loss", ["deleted", "emptied"])
def test_somebody_who_is_faster_wins(tmp_path: Path, loss: str) -> None:
    """Between our look and our write a person applies theirs: that is a conflict, and theirs stays."""

    async def scenario(world: World) -> None:
        await world.me.look()
        theirs = configuration(hook(timeoutSeconds=9))
        world.lose(loss)

        def race(method: str, path: str) -> None:
            if method in ("POST", "PATCH") and path.startswith(CONFIGURATIONS):
                world.server.put(CONFIGURATION, theirs)

        world.server.fault = race
        await world.me.look(AFTER_SECONDS + 5)
        assert world.found is not None
        assert world.found["webhooks"][0]["timeoutSeconds"] == 9
        assert world.me.restoration.restored == 0
        assert world.me.restoration.problem is None

    play(tmp_path, scenario)


def test_a_leader_that_is_deposed_while_it_reads_does_not_write(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        world.delete()
        writes = len(world.writes())

        def depose(_method: str, path: str) -> None:
            world.me.leading = world.me.leading and path != BACKUP

        world.server.fault = depose
        await world.me.look(PLENTY)
        assert world.found is None
        assert len(world.writes()) == writes

    play(tmp_path, scenario)


def test_who_deletes_it_again_and_again_is_answered_later_and_later(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        began = world.me.now
        while world.me.now < began + 1200:
            if world.found is not None:
                world.delete()
            await world.me.look()
            world.me.now += 9
        assert 4 <= world.me.restoration.restored <= 8
        assert len(world.reasons()) <= events.MOST_PER_HOUR
        assert await world.me.look(2 * MOST_SECONDS) == "ok"

    play(tmp_path, scenario)


def test_the_backup_follows_what_is_applied_and_comes_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.me.look()
        first = world.server.objects[BACKUP]
        await world.me.look(10 * PLENTY)
        assert world.server.objects[BACKUP] == first, "nothing changed: nothing is written"
        world.edit(CONFIGURATION, webhooks=[hook(path="/mutate/audit")])
        await world.me.look()
        assert "/mutate/audit" in world.server.objects[BACKUP]["data"][backup.KEY]
        world.delete(BACKUP)
        await world.me.look(PLENTY)
        assert "/mutate/audit" in world.server.objects[BACKUP]["data"][backup.KEY]

    play(tmp_path, scenario)


@pytest.mark.parametrize("fault", ["forbidden", "busy", "HTML", "cut", "done and cut"])
def test_writes_that_fail_are_tried_again(tmp_path: Path, fault: str) -> None:
    async def scenario(world: World) -> None:
        world.server.fault = lambda method, _path: None if method == "GET" else FAULTS[fault]
        await world.me.look(PLENTY)
        assert world.me.restoration.problem or BACKUP in world.server.objects
        world.server.fault = lambda _method, _path: None
        await world.me.look(PLENTY)
        assert world.me.restoration.problem is None
        world.delete()
        world.server.fault = lambda method, _path: None if method == "GET" else FAULTS[fault]
        await world.me.look(PLENTY)
        world.server.fault = lambda _method, _path: None
        assert await world.me.look(PLENTY) == "ok"
        assert shape(world.found) == shape(configuration())

    play(tmp_path, scenario)


def test_nothing_secret_is_in_events(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.edit(CONFIGURATION, metadata={"annotations": {"token": "s3cr3t"}})
        await world.me.look()
        world.delete()
        await world.me.look(PLENTY)
        world.edit(CONFIGURATION, webhooks=[])
        await world.me.look(PLENTY)
        assert world.reasons()
        assert not [word for word in ("s3cr3t", "BEGIN", bundle(AUTHORITY)) if word in world.messages()]
        assert EVENTS not in world.messages()

    play(tmp_path, scenario)
