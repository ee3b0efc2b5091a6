"""Bottlerocket's user data: TOML below `settings`, the settings it knows, and what it does with local disks.

The settings are `bottlerocket.json` beside this module, which names its sources. Bottlerocket refuses settings that it
does not know, and the node does not join; Karpenter drops those of `settings.kubernetes` that it does not know before
the node sees them (karpenter-provider-aws 1d92708, pkg/providers/amifamily/bootstrap/bottlerocketsettings.go).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from webhook.ec2.systems import EPHEMERAL
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.toml_lines import Lines, lines_of
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_SYNTAX, _SETTING, _DROPPED, _BIND = "N003", "N004", "N005", "N006"
_MOST_DOTS = 2000  # on one line: tomllib takes the square of a key's length


@dataclass(frozen=True, slots=True)
class Bind:
    """One command that binds directories onto the local disks. No directories: the system's own list."""

    directories: tuple[str, ...]
    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """User data read: plain data below `settings`, the line of each table and key, and the commands on local disks."""

    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)
    initialises: bool = False
    binds: tuple[Bind, ...] = ()

    def at(self, *path: str) -> Any:
        """Return the value at a path below `settings`; None where there is none."""
        value: Any = self.data
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def line(self, *path: str) -> int:
        """Return the line of a path below `settings`, or of what is around it."""
        whole = ("settings", *path)
        return next((self.lines[whole[:n]] for n in range(len(whole), 0, -1) if whole[:n] in self.lines), 1)


@cache
def schema() -> Mapping[str, Any]:
    """Return the settings known; read once. The data is part of the program, so a fault in it raises."""
    data: dict[str, Any] = json.loads(files("webhook.nodeclass").joinpath("bottlerocket.json").read_text("utf-8"))
    return data


def bottlerocket(text: str) -> tuple[Settings | None, tuple[Fault, ...]]:
    """Return the settings of user data, None where it is not TOML, and all that is wrong with it. Never raises."""
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        return None, (Fault(_SYNTAX, "nested too deeply to be read", "flatten it"),)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT.search(str(error))
        line, column = (int(match[1]), int(match[2])) if match and match[1] else (text.count("\n") + 1, 1)
        message = _AT.sub("", str(error))
        hint = "Bottlerocket's user data is TOML: [settings.kubernetes], key = value"
        return None, (Fault(_SYNTAX, f"not TOML: {shown(message, 160)}", hint, line, column),)
    except RecursionError:
        return None, (Fault(_SYNTAX, "nested too deeply to be read", "flatten it"),)
    except ValueError:  # Python reads no whole number of more than 4300 digits
        return None, (Fault(_SYNTAX, "a number too long to be read", "no setting takes one of 20 digits or more"),)
    lines = lines_of(text)
    faults: list[Fault] = []
    for name in data:
        if name != "settings":
            hint = suggestion(name, ("settings",)) if name != "kubernetes" else "write settings.kubernetes"
            faults.append(Fault(_SETTING, f'"{shown(name)}" is not below settings', hint, lines.get((name,), 1)))
    tables = data.get("settings", {})
    if not isinstance(tables, dict):
        return None, (*faults, Fault(_SETTING, "settings must be a table", "", lines.get(("settings",), 1)))
    bare = Settings(tables, lines)
    faults += _checked(tables, schema()["settings"], (), bare)
    faults += _dropped(bare)
    initialises, binds = _disks(bare)
    settings = Settings(tables, lines, initialises, tuple(binds))
    faults += _unbindable(settings)
    return settings, tuple(faults)


def bindable(directory: str) -> bool:
    """Whether Bottlerocket binds a directory onto the local disks: its own list, and what lies below /mnt."""
    path = directory.rstrip("/")
    if path in schema()["bindable"]:
        return True
    return path.startswith("/mnt/") and ".." not in path and EPHEMERAL not in path


def _checked(value: Any, wanted: Any, path: tuple[str, ...], settings: Settings) -> Iterator[Fault]:
    line, name = settings.line(*path), ".".join(("settings", *path))
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            yield Fault(_SETTING, f"{shown(name)} must be a table", "", line)
            return
        for key, below in value.items():
            if key in wanted or "*" in wanted:
                yield from _checked(below, wanted.get(key, wanted.get("*")), (*path, key), settings)
            else:
                message = f"{shown(name)}.{shown(key)} is no setting of Bottlerocket {schema()['version']}"
                yield Fault(_SETTING, message, suggestion(key, wanted), settings.line(*path, key))
    elif isinstance(wanted, list):
        if value not in wanted:
            yield Fault(_SETTING, f"{name} is none of {', '.join(wanted)}", suggestion(str(value), wanted), line)
    elif wanted == "boolean" and not isinstance(value, bool):
        yield Fault(_SETTING, f"{name} must be true or false", "without quotes", line)
    elif wanted == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        yield Fault(_SETTING, f"{name} must be a whole number", "without quotes", line)
    elif wanted == "commands":
        yield from _commands(value, name, line)


def _commands(value: Any, name: str, line: int) -> Iterator[Fault]:
    if not isinstance(value, list) or not all(_is_command(each) for each in value):
        yield Fault(_SETTING, f"{shown(name)} must be a list of lists of texts", '[["apiclient", ...]]', line)
        return
    for command in value:
        if command[:1] != ["apiclient"]:
            message = f'{shown(name)}: "{shown(" ".join(command))}" is no apiclient command, and nothing else is run'
            yield Fault(_SETTING, message, "a bootstrap container runs other programs", line)


def _is_command(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _dropped(settings: Settings) -> Iterator[Fault]:
    kubernetes = settings.at("kubernetes")
    kept = schema()["keptByKarpenter"]
    for key in kubernetes if isinstance(kubernetes, dict) else ():
        if key not in kept and key in schema()["settings"]["kubernetes"]:
            message = f"Karpenter drops settings.kubernetes.{key}: the node never sees it"
            hint = "set it in a launch template or AMI of your own, or leave it out"
            yield Fault(_DROPPED, message, hint, settings.line("kubernetes", key))


def _disks(settings: Settings) -> tuple[bool, list[Bind]]:
    """Whether commands prepare the local disks, and what is bound onto them. In the order of the system: by name."""
    initialises, binds = False, []
    commands = settings.at("bootstrap-commands")
    for name in sorted(commands if isinstance(commands, dict) else ()):
        value = settings.at("bootstrap-commands", name, "commands")
        if settings.at("bootstrap-commands", name, "mode") == "off" or not isinstance(value, list):
            continue
        line = settings.line("bootstrap-commands", name, "commands")
        for command in filter(_is_command, value):
            if command[:3] == ["apiclient", "ephemeral-storage", "init"]:
                initialises = True
            elif command[:3] == ["apiclient", "ephemeral-storage", "bind"]:
                binds.append(Bind(tuple(w for w in command[3:] if not w.startswith("-")), line, name))
    return initialises, binds


def _unbindable(settings: Settings) -> Iterator[Fault]:
    for bind in settings.binds:
        for directory in bind.directories:
            if not bindable(directory):
                message = f"Bottlerocket does not bind {shown(directory)}, and the whole command fails"
                hint = f"it binds {', '.join(schema()['bindable'])}, and directories below /mnt"
                yield Fault(_BIND, message, hint, bind.line)
        if not settings.initialises:
            message = "local disks are bound and nothing prepares them, so that nothing is bound"
            yield Fault(_BIND, message, '["apiclient", "ephemeral-storage", "init"] goes first', bind.line)
