"""One model: asked for at its source, found in the cache or brought there, and given to this pod."""

from __future__ import annotations

from webhook.hydrator.cache import Cache, Model, Pod
from webhook.hydrator.course import Course
from webhook.hydrator.failure import failure_of
from webhook.hydrator.outcome import HydrationError, Stopped
from webhook.hydrator.request import Wanted
from webhook.hydrator.setting import Setting
from webhook.hydrator.source import Source


def attempt(course: Course, setting: Setting, *, debug: bool = False) -> None:
    """Bring the model, or say why it cannot be. Stopped alone comes out of it."""
    try:
        hydrate(course, setting)
    except Stopped:
        course.end("error")
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the other models and the last words come after it
        course.end("error", failure_of(error))
        _fail(course, setting, error if debug else None)
    else:
        setting.display.end(course.summary)


def hydrate(course: Course, setting: Setting) -> None:
    """Bring the model, or find it, and give it to this pod. HydrationError; Stopped at any moment."""
    wanted = course.wanted
    with Cache(wanted.cache) as cache:
        model = cache.model(wanted.directory)
        if wanted.trust_cache and _trusted(course, model, setting.pod):
            return
        source = source_of(wanted, setting)
        try:
            plan = source.plan()
            source.prove(plan)
            course.version, course.bytes, course.files = plan.version, plan.bytes, len(plan.files)
            course.is_checked = True
            result, is_there = "hit", model.holds(plan)
            # Evicted before it is leased it has to be brought after all.
            while not (is_there and model.use(plan.version, setting.pod)):
                from webhook.hydrator.download import Task, bring  # noqa: PLC0415  # a hit does without

                result, is_there = bring(Task(course, setting, cache, model, source, plan)), True
            course.end(result)
        finally:
            source.close()


def source_of(wanted: Wanted, setting: Setting) -> Source:
    """Where the model comes from. What the other kind of source needs is not imported."""
    if wanted.source.startswith("file://"):
        from webhook.hydrator.posix import PosixSource  # noqa: PLC0415  # a hit of the other kind does without

        return PosixSource(wanted.source, wanted.filters)
    from webhook.hydrator.s3.settings import settings_from  # noqa: PLC0415  # likewise
    from webhook.hydrator.s3.source import S3Source  # noqa: PLC0415  # likewise

    settings = settings_from(setting.environ, **setting.store._asdict())
    return S3Source(
        wanted.source, wanted.filters, settings, setting.environ, note=lambda text: setting.voice.say("note", text)
    )


def _trusted(course: Course, model: Model, pod: Pod) -> bool:
    """Whether a version is there to be taken without a question."""
    manifest = model.current()
    if manifest is None or manifest.source != course.wanted.source or not model.use(manifest.version, pod):
        return False
    course.version, course.bytes, course.files = manifest.version, manifest.bytes, manifest.files
    course.end("hit")
    return True


def _fail(course: Course, setting: Setting, shown: Exception | None) -> None:
    voice = setting.voice
    setting.display.clear()
    if course.failure is not None:
        voice.fail(course.failure, shown)
    if course.wanted.continues:
        there = "with the version that lies in the cache" if _keep(course, setting) else "without the model"
        voice.say("warning", f"onFailure is Continue: the pod starts {there} ({course.wanted.source})")


def _keep(course: Course, setting: Setting) -> bool:
    """Keep what `current` names from eviction, for a pod that goes on without what it wanted. Whether there is one."""
    try:
        with Cache(course.wanted.cache) as cache:
            model = cache.model(course.wanted.directory)
            manifest = model.current()
            return manifest is not None and model.use(manifest.version, setting.pod)
    except (HydrationError, OSError):
        return False
