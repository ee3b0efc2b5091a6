"""Which Events the leader writes of the certificates."""

from __future__ import annotations

from pathlib import Path

from tests.controller.registrations import World, play
from webhook.controller.alarm import LASTING_SECONDS, Alarm
from webhook.controller.condition import Condition


def test_emergencies_and_lasting_trouble_are_told_once_by_the_leader(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        me, condition = world.me, Condition()
        alarm = Alarm(condition, me.events, lambda: me.leading, lambda: me.now)
        await alarm.look()
        condition.trouble("bundles", "the bundles cannot be written", "names of objects")
        condition.rotations["emergency"] += 1
        me.leading = False
        await alarm.look()
        assert world.reasons() == []
        me.leading = True
        for _ in range(3):
            await alarm.look()
        assert world.reasons() == ["CertificatesBegunAnew"]
        me.now += LASTING_SECONDS
        for _ in range(3):
            await alarm.look()
        assert world.reasons() == ["CertificatesBegunAnew", "CertificatesInTrouble"]
        assert world.events()[1]["message"] == "the bundles cannot be written"
        condition.clear("bundles")
        await alarm.look()
        condition.trouble("bundles", "again")
        me.now += LASTING_SECONDS / 2
        await alarm.look()
        assert len(world.reasons()) == 2, "what passes by is not told"

    play(tmp_path, scenario)
