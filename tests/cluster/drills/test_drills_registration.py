"""A registration that somebody deletes or empties: nobody calls us, so nobody but us can tell; and it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cluster import pods
from tests.cluster.drills import registration
from tests.cluster.drills.crowd import COLD
from tests.cluster.drills.fleet import TIMEOUT_SECONDS, Fleet
from webhook.kube import Object, names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

_EVENTS = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/events"
_BACKUP = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{names.WEBHOOK_BACKUP}"
_OK = "warmpod_controller_webhook_configuration_ok"
_RESTORED = "warmpod_controller_webhook_configuration_restored_total"


def empty(box: Sandbox) -> None:
    registration.write_hooks(box, [])


def events(box: Sandbox, reason: str) -> list[Object]:
    """The events of this reason that regard our Deployment."""
    found = box.api.call("GET", _EVENTS)["items"]
    return [
        each
        for each in found
        if each["reason"] == reason
        and (each["involvedObject"]["kind"], each["involvedObject"]["name"]) == ("Deployment", names.DEPLOYMENT)
    ]


def is_kept(box: Sandbox) -> bool:
    """Whether a leader has seen the registration as it is now, and could restore it."""
    try:
        kept = box.api.call("GET", _BACKUP)
    except RefusedRequest:
        return False
    return all(f'"name":"{names.WEBHOOK_SERVICE}"' in text.replace(" ", "") for text in kept["data"].values())


@pytest.fixture
def registered(fleet: Fleet) -> Iterator[None]:
    """Whatever becomes of this drill, others find the registration in order."""
    before = registration.read(fleet.box)
    yield
    found = registration.find(fleet.box)
    if found is None:
        registration.create(fleet.box, before)
    elif not found.get("webhooks"):
        registration.write_hooks(fleet.box, before["webhooks"])


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(registration.delete, "WebhookConfigurationMissing", id="deleted"),
        pytest.param(empty, "WebhookConfigurationEmpty", id="emptied"),
    ],
)
def test_a_registration_that_is_gone(
    fleet: Fleet, crowded: str, damage: Callable[[Sandbox], None], reason: str
) -> None:
    box = fleet.box
    leading = fleet.leader()
    restored = leading.count(_RESTORED)
    pods.eventually(lambda: is_kept(box), "copy of the registration")
    with fleet.drill(crowded) as drill:
        gone = drill.mark()
        damage(box)
        pods.eventually(lambda: all(each.count(_OK) == 0 for each in box.controllers), "metric that says so")
        drill.crowd.wait_for(COLD, 10, gone)
        pods.eventually(lambda: events(box, reason), f"event {reason}")
        pods.eventually(lambda: (registration.find(box) or {}).get("webhooks"), "registration")
        drill.warm_again()
        pods.eventually(lambda: all(each.count(_OK) == 1 for each in box.controllers), "metric that says so")
    assert all(birth.seconds < TIMEOUT_SECONDS for birth in drill.crowd.births)
    assert drill.calls.failed_open == 0, "the API server counts failures of what it calls, and it called nobody"
    pods.eventually(lambda: events(box, "WebhookConfigurationRestored"), "event of the restoration")
    assert leading.count(_RESTORED) == restored + 1
    # Who had to restore once waits twice as long the next time; another leader has not.
    leading.stop()
    assert fleet.leader() is not leading
    leading.start()
    leading.wait_until_ready()
