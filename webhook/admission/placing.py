"""Which of a pod's artifacts become terms in its node affinity: those of all matched policies, weighed together."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.admission.holdings import held
from webhook.admission.scene import Matched, Scene
from webhook.admission.zoning import is_zoned, zones
from webhook.inventory.candidates import Candidates
from webhook.kube import Object, image, names
from webhook.kube import pod as pods
from webhook.mutate import placement
from webhook.mutate.account import Account
from webhook.mutate.direct import Direct
from webhook.mutate.load import Load
from webhook.mutate.placement import Choice
from webhook.mutate.source import shown
from webhook.policy.model import Placement


def place(
    pod: Object, matched: Sequence[tuple[Matched, Account]], loads: Sequence[Load | Direct], scene: Scene
) -> tuple[Object, float]:
    """The pod with the terms that its artifacts earn, and the seconds that these save.

    `loads` are all models that found their place: those the init container brings, and those mounted as they lie.
    """
    choices: list[Choice] = []
    obstacle = placement.obstacle(scene.sent, usable=scene.facts.placement_usable)
    found = zones(pod, [] if obstacle else matched, loads, scene)
    choices += found.choices
    for each, account in matched:
        policy = each.policy
        delivered = [load for load in loads if load.account is account]
        mine = [load for load in delivered if load.model.placement is not Placement.OFF]
        if obstacle and (policy.image_placement is not Placement.OFF or mine or is_zoned(policy, delivered)):
            account.leave(obstacle)
        elif policy.image_placement is not Placement.OFF or mine:
            candidates = scene.candidates(policy.accelerators, found.pod)
            if policy.image_placement is not Placement.OFF:
                choices += _images(policy.image_placement, candidates, scene, account)
            choices += _models(mine, candidates, scene)
    return placement.settle(pod, choices, found.wished) if choices else (pod, 0.0)


def _images(wanted: Placement, candidates: Candidates, scene: Scene, account: Account) -> list[Choice]:
    settings = scene.facts.settings
    texts = [text for text in pods.images(_as_written(scene.sent)) if text != settings.hydrator_image]
    found = []
    for text in texts:
        what = "image" if len(texts) == 1 else f"image {shown(text)}"
        name = image.canonical(text)
        if name is None:
            account.leave(f"image {shown(text)}: not a valid reference")
            continue
        artifact = scene.facts.inventory.image(name)
        if artifact is None:
            account.leave(f"{what}: no node is known to hold it{_untracked(settings.image_min_bytes)}")
            continue
        if 0 < artifact.bytes < settings.image_min_bytes:
            account.leave(f"{what}: too small to matter, {artifact.bytes // 2**20} MiB")
            continue
        rate = settings.image_bytes_per_second
        choice = placement.weigh(artifact, wanted, candidates, rate=rate, name=name, what=what, account=account)
        if choice is not None:
            found.append(choice)
    return found


def _as_written(pod: Object) -> Object:
    """The pod without the image volumes of an earlier review: what they are worth is told with their models."""
    volumes = pods.objects(pods.spec(pod).get("volumes"))
    kept = [each for each in volumes if not str(each.get("name")).startswith(names.VOLUME_MODEL_PREFIX)]
    return pod if len(kept) == len(volumes) else {**pod, "spec": {**pod["spec"], "volumes": kept}}


def _untracked(least: int) -> str:
    if least <= 0:
        return ""
    size = f"{least // 2**30} GiB" if least % 2**30 == 0 else f"{least / 2**20:.0f} MiB"
    return f" (images under {size} are not tracked)"


def _models(loads: Sequence[Load | Direct], candidates: Candidates, scene: Scene) -> list[Choice]:
    found = []
    for load in loads:
        name, what, account = load.source.canonical, load.model.name, load.account
        if isinstance(load, Direct):
            choice = _image_volume(load, candidates, scene)
            if choice is not None:
                found.append(choice)
            continue
        if not load.is_shared:
            account.leave(f"{what}: its cache dies with the pod, no node stays warm")
            continue
        artifact = held(load, scene)
        if artifact is None:
            account.leave(f"{what}: no node is known to hold it")
            continue
        choice = placement.weigh(
            artifact,
            load.model.placement,
            candidates,
            rate=scene.facts.settings.model_bytes_per_second,
            name=name,
            what=what,
            account=account,
        )
        if choice is not None:
            found.append(choice)
    return found


def _image_volume(direct: Direct, candidates: Candidates, scene: Scene) -> Choice | None:
    """The image that is a model, where it is one; what lies in another kind of volume is on no node."""
    if not direct.reference:
        return None
    settings, what, account = scene.facts.settings, direct.model.name, direct.account
    artifact = scene.facts.inventory.image(direct.reference)
    if artifact is None:
        account.leave(f"{what}: no node is known to hold it{_untracked(settings.image_min_bytes)}")
        return None
    if 0 < artifact.bytes < settings.image_min_bytes:
        account.leave(f"{what}: too small to matter, {artifact.bytes // 2**20} MiB")
        return None
    wanted, rate = direct.model.placement, settings.image_bytes_per_second
    name = direct.reference
    return placement.weigh(artifact, wanted, candidates, rate=rate, name=name, what=what, account=account)
