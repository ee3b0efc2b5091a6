"""What tags name now and what layers images have: from registries, or from a file that somebody made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import click
import msgspec

from webhook.cli.errors import CouldNotRun, say
from webhook.cli.options import Decorated, option
from webhook.cli.progress import tracked
from webhook.kube import image
from webhook.report.bake import Contents, Layer
from webhook.sources.registry import Platform, Registries, RegistryFailure
from webhook.sources.registry_credentials import Credentials, UnreadableCredentials

Value = TypeVar("Value")

_PATH: Final = click.Path(path_type=Path)
_AT_ONCE: Final = 8
_TOLD: Final = 3
_MOST_BYTES: Final = 64 * 2**20


class _Layer(msgspec.Struct):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**50)]


class _Image(msgspec.Struct):
    layers: list[_Layer] = []
    digest: str = ""


def registry_options(function: Decorated) -> Decorated:
    """Whether registries are asked, and who asks: `registry` and `docker_config`."""
    asked = option("--registry", is_flag=True, help="Ask registries for digests and layers; never for a layer itself.")
    login = option(
        "--docker-config",
        type=_PATH,
        metavar="FILE",
        help="Who we are to registries. Default: $DOCKER_CONFIG/config.json, ~/.docker/config.json, or nobody.",
    )
    return asked(login(function))


def platform_of(ctx: click.Context, param: click.Parameter, value: str) -> Platform:
    """Read `linux/amd64`; a usage error when it is none."""
    try:
        return Platform.of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def contents_of(
    names: Iterable[str], platform: Platform, docker_config: Path | None
) -> tuple[dict[str, Contents], dict[str, RegistryFailure]]:
    """What registries say of these canonical names, and why they do not. Raises CouldNotRun for a bad login file."""
    try:
        credentials = _credentials(docker_config)
    except UnreadableCredentials as error:
        raise CouldNotRun(f"--docker-config: {error}", hint="it is the file that `docker login` writes") from error
    registries = Registries(credentials)

    def ask(name: str) -> Contents | RegistryFailure:
        try:
            return registries.contents(name, platform)
        except RegistryFailure as failure:
            return failure

    wanted = sorted(set(names))
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        answers = list(tracked(pool.map(ask, wanted), "images asked for", len(wanted)))
    finally:
        pool.shutdown(cancel_futures=True)  # else Ctrl-C would wait for all that are left
    found, failures = dict[str, Contents](), dict[str, RegistryFailure]()
    for name, answer in zip(wanted, answers, strict=True):
        if isinstance(answer, Contents):
            found[name] = answer
        else:
            failures[name] = answer
    return found, failures


def tell(failures: Mapping[str, RegistryFailure]) -> None:
    """Say on stderr which images registries said nothing of."""
    for failure in list(failures.values())[:_TOLD]:
        say("warning", str(failure))
    if len(failures) > _TOLD:
        say("warning", f"{len(failures) - _TOLD:,} more images are not known of their registries")


def read_layers(path: Path) -> dict[str, Contents]:
    """`--layers`: by image its manifest, or just `{"digest": ..., "layers": [{"digest": ..., "size": ...}]}` of it.

    Raises CouldNotRun.
    """
    found: dict[str, _Image] = _read(path, "--layers", dict[str, _Image])
    for name, one in found.items():
        if not one.layers:
            raise CouldNotRun(
                f"--layers: {path}: {name[:200]!r} has no layers",
                hint="an index has none: give one platform's manifest",
            )
    return _named(path, "--layers", found, lambda one: Contents(one.digest, "", _layers(one)))


def read_digests(path: Path) -> dict[str, str]:
    """`--digests`: images and what their tags name, as `{"IMAGE": "sha256:..."}`. Raises CouldNotRun."""
    found = _read(path, "--digests", dict[str, str])
    for name, digest in found.items():
        if image.canonical(f"x@{digest}") is None:
            raise CouldNotRun(f"--digests: {path}: {name!r}: {digest!r} is no digest")
    return _named(path, "--digests", found, lambda digest: digest)


def _layers(one: _Image) -> tuple[Layer, ...]:
    return tuple(Layer(layer.digest, layer.size) for layer in one.layers)


def _read(path: Path, flag: str, kind: Any) -> Any:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CouldNotRun(f"{flag}: {path}: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise CouldNotRun(f"{flag}: {path}: more than {_MOST_BYTES >> 20} MiB")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CouldNotRun(f"{flag}: {path}: {error}", hint="docs/bake.md shows the file") from error


def _named(path: Path, flag: str, found: Mapping[str, Any], of: Callable[[Any], Value]) -> dict[str, Value]:
    made = {}
    for text, value in found.items():
        name = image.canonical(text)
        if name is None:
            raise CouldNotRun(f"{flag}: {path}: {text[:200]!r} is no image reference")
        made[name] = of(value)
    return made


def _credentials(path: Path | None) -> Credentials:
    if path is not None:
        return Credentials.read(path)
    directory = os.environ.get("DOCKER_CONFIG")
    try:
        usual = Path(directory) / "config.json" if directory else Path.home() / ".docker" / "config.json"
    except RuntimeError:  # no home
        return Credentials()
    return Credentials.read(usual) if usual.exists() else Credentials()
