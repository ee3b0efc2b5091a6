"""The command line of `warmpod hydrate`: options, their twins in the environment, and what they come to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from webhook.hydrator import measures, model_argument
from webhook.hydrator.options import HOW, OPTIONS, WHAT, WHERE, WORDS, Option
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Filters
from webhook.hydrator.report import DEFAULT_LOG
from webhook.hydrator.request import Effort, Request, Store, Wanted, canonical, directory_of, shown

_DESCRIPTION = """\
Bring a model from S3 or a POSIX tree onto this node's disk: in parallel, verified, resumable, once per node.

Whoever asks second waits for the first, or finds the model there. Readers see a complete model or none:
its files lie in DIR/<directory>/current."""

_EPILOG = """\
examples:
  warmpod hydrate s3://acme-models/llama-3-8b/ --cache /mnt/nvme/models
  warmpod hydrate s3://acme-models/llama-3-8b/ --cache /mnt/nvme/models --prefer-safetensors --max-size 500Gi
  warmpod hydrate s3://acme--use1-az4--x-s3/llama/ --cache /mnt/nvme/models          (S3 Express One Zone)
  warmpod hydrate file:///fsx/models/llama/ --cache /mnt/nvme/models                 (FSx for Lustre, NFS, any tree)
  warmpod hydrate s3://models/llama/ --cache ./models --endpoint-url http://127.0.0.1:8333 --region us-east-1
  warmpod hydrate --verify /mnt/nvme/models

Credentials come from the environment, a profile, IRSA, EKS Pod Identity or the instance, in the order of the AWS SDKs.
Every option has an environment twin, WARMPOD_<OPTION> (that of --model is WARMPOD_HYDRATE_MODEL).

exit codes: 0 ok, 1 damaged (--verify), 2 usage, 3 the source changed, 4 denied, 5 not found, 6 unreachable, 7 corrupt,
8 unsafe names, 9 disk, 28 no room, 70 defect, 130 interrupted, 143 terminated (what is there is kept for the next run).
All of it: docs/hydrate.md"""

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class Parser(argparse.ArgumentParser):
    """Complains as everything here does: one line that says what, one that says what to do."""

    def error(self, message: str) -> NoReturn:
        """HydrationError USAGE."""
        raise usage(message)


def usage(message: str, hint: str = "`warmpod hydrate --help` shows the options and examples") -> HydrationError:
    """An error of the command line."""
    return HydrationError(Exit.USAGE, message, hint)


def parser() -> Parser:
    """The parser: every value stays text, since the environment's texts are read by the same rules."""
    made = Parser(
        prog="warmpod hydrate",
        usage="warmpod hydrate SOURCE --cache DIR [OPTIONS]\n       warmpod hydrate --model JSON [--model JSON]...\n"
        "       warmpod hydrate --verify DIR",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    made.add_argument("source", metavar="SOURCE", nargs="?", help="s3://BUCKET/PREFIX/, s3://BUCKET/KEY, file:///PATH/")
    groups = {title: made.add_argument_group(title) for title in (WHAT, WHERE, HOW, WORDS)}
    for option in OPTIONS:
        text = f"{option.help} [{option.default}]" if option.default else option.help
        attributes: dict[str, Any] = {"dest": option.name, "help": text.replace("%", "%%"), "default": None}
        if option.kind == "flag":
            attributes.update(action="store_const", const="true")
        else:
            attributes.update(metavar=option.metavar)
            if option.kind in {"many", "models"}:
                attributes.update(action="append")
        groups[option.group].add_argument(option.flag, **attributes)
    return made


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Request:
    """What is asked for. HydrationError USAGE for what cannot be; SystemExit 0 after `--help`."""
    given, unknown = parser().parse_known_args(arguments)
    if unknown:
        # By their names alone: what follows may be a key that somebody thought to give here.
        names = [word.partition("=")[0] if word.startswith("-") else shown(word) for word in unknown]
        raise usage(f"unknown: {', '.join(name for name in names if name.startswith('-') or '://' in name)[:300]}")
    source: str | None = given.source
    by_model = given.model is not None or (source is None and bool(environ.get("WARMPOD_HYDRATE_MODEL", "").strip()))
    verify = given.verify if given.verify is not None else ("" if source or by_model else environ.get("WARMPOD_VERIFY"))
    told = [option.flag for option in OPTIONS if option.of_model and getattr(given, option.name) is not None]
    if sum((source is not None, given.model is not None, given.verify is not None)) > 1:
        raise usage("SOURCE, --model and --verify: one of them at a time")
    if told and source is None:
        whose = "are keys of the JSON of --model" if by_model else "say how to bring a SOURCE, and there is none"
        raise usage(f"{', '.join(told)}: {whose}")
    values = {
        option.name: _value(option, getattr(given, option.name), environ)
        for option in OPTIONS
        if (source is not None or not option.of_model) and option.name not in {"verify", "model"}
    }
    models: tuple[Wanted, ...] = ()
    if source is not None:
        models = (_wanted(source, values),)
    elif by_model:
        models = tuple(_value(next(one for one in OPTIONS if one.name == "model"), given.model, environ))
    elif not verify:
        raise usage("what is to be hydrated? There is no SOURCE")
    return Request(
        models=models,
        verify=verify or "",
        store=Store(
            endpoint_url=values["endpoint_url"],
            region=values["region"],
            path_style=values["path_style"],
            request_payer=values["request_payer"],
            unsigned=values["no_sign_request"],
            ca_bundle=values["ca_bundle"],
            fips=values["fips"],
        ),
        effort=Effort(values["io"], *(values[name] for name in ("bandwidth", "max_rate", "processes", "connections"))),
        termination_log=_log(values["termination_log"]),
        progress=values["progress"],
    )


def termination_log(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Where the last words go when nothing else of the command line can be understood."""
    flag = "--termination-log"
    for place, argument in enumerate(arguments):
        if argument == flag and place + 1 < len(arguments):
            return arguments[place + 1]
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return _log(environ.get("WARMPOD_TERMINATION_LOG"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=118)


def _log(given: str | None) -> str:
    if given is not None:
        return given
    return DEFAULT_LOG if os.path.exists(DEFAULT_LOG) else ""


def _wanted(source: str, values: Mapping[str, Any]) -> Wanted:
    try:
        name = canonical(source)
    except ValueError as error:
        raise usage(f"{shown(source)} {error}") from None
    if not values["cache"]:
        raise usage("--cache DIR is missing: where is the model to be brought?")
    filters = Filters(values["include"], values["exclude"], bool(values["prefer_safetensors"]))
    directory = values["directory"] or directory_of(name, filters)
    return Wanted(
        source=name,
        cache=values["cache"],
        directory=directory,
        name=directory,
        tenant=values["tenant"],
        filters=filters,
        keep_free=values["keep_free"],
        max_size=values["max_size"],
        trust_cache=bool(values["trust_cache"]),
        lease_seconds=values["lease"],
        page_cache=bool(values["page_cache"]),
        continues=values["on_failure"],
    )


def _value(option: Option, given: Any, environ: Mapping[str, str]) -> Any:
    """What an option comes to: what is given, else its twin in the environment, else the default, all by one rule."""
    where = option.flag
    if given is None and option.variable in environ:
        where, given = option.variable, environ[option.variable]
        if option.kind == "many":
            given = given.split()
        elif option.kind == "models":
            given = [given]
        elif not given and option.kind not in {"text", "tenant"}:
            given = None  # an empty variable says nothing
    if option.kind == "many":
        return tuple(given or ())
    if option.kind == "models":
        return [wanted for text in given for wanted in _read(where, text, model_argument.read_all)]
    if given is None:
        if not option.default:
            return None
        given = option.default
    return _read(where, given, _READERS[option.kind])


def _read(where: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        value = "" if read is model_argument.read_all else f"{text[:200]!r} "
        raise usage(f"{where}: {value}{error}") from None


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text


def _flag(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("is neither 1, true, yes, on nor 0, false, no, off")
    return text.lower() in _TRUE


def _count(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= most):
            raise ValueError(f"is no number from 1 to {most}")
        return int(text)

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"is none of {', '.join(names)}")
        return text

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "text": _text,
    "directory": model_argument.directory,
    "tenant": model_argument.tenant,
    "flag": _flag,
    "keep_free": model_argument.keep_free,
    "size": measures.size,
    "duration": measures.duration,
    "rate": measures.rate,
    "count": _count(1024),
    "connections": _count(10),
    "on_failure": model_argument.continues,
    "io": _one_of("auto", "direct", "buffered"),
    "progress": _one_of("auto", "bar", "lines", "none"),
}
