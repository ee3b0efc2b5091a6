"""Writes docs/s3-clients.md from the data of webhook/clients: `python -m tests.clients.page > docs/s3-clients.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from webhook.clients.catalogue import Catalogue, catalogue
from webhook.clients.profiles import Profiles, profiles

_HALF = "half of the memory limit"

_INTRODUCTION = """# What S3 clients read

Which environment variables and configuration keys the S3 clients in GPU containers read, in which versions that was
looked up, and which names people set though nobody reads them. `warmpod lint` judges policies by this
([lint](lint.md)). The page is written from `webhook/clients/catalogue.json` and `profiles.json` beside it by
`python -m tests.clients.page`; mend those files, where every row has its source, not this page. Every variable of a
client that a Python package holds was found in that package's own code, but for some that are made at run time
(`tests/bench/catalogue.py`).

A variable is listed under the client that reads it. Clients are made of others, and heed what those read as well.
"""


def page(known: Catalogue) -> str:
    """Return the page."""
    parts = [_INTRODUCTION, _clients(known), _by_network(known, profiles()), "## Variables\n"]
    parts += [_variables(known, client) for client in sorted(known.clients)]
    parts += [_unread(known), _dead(known), _prefixes(known), _settings(known), _code_only(known)]
    return "\n".join(part for part in parts if part)


def _clients(known: Catalogue) -> str:
    rows = [
        (
            f"`{each.id}`",
            f"{each.title}: {each.about}" if each.about else each.title,
            each.version or "-",
            ", ".join(f"`{part}`" for part in each.built_on) or "-",
        )
        for each in sorted(known.clients.values(), key=lambda each: each.id)
    ]
    return "## Clients\n\n" + _table(("client", "what it is", "version looked at", "built on"), rows)


def _by_network(known: Catalogue, found: Profiles) -> str:
    rows = []
    for row in found.rows:
        values = list(row.values.values()) or [_HALF]
        same = len(set(values)) == 1
        shown = [f"`{values[0]}`" if row.values else _HALF] if same else [f"`{value}`" for value in values]
        name = f"`{row.name}`" if row.kind == "env" else f"awsConfig `{row.name}`"
        rows.append((row.client, name, " / ".join(shown), row.why, "; ".join(row.source)))
    outside = [
        (known.titles([each.client]), ", ".join(f"`{name}`" for name in each.settings) or "-", each.why)
        for each in found.outside
    ]
    classes = " / ".join(map(str, found.classes))
    return (
        "## Settings by network\n\n"
        "What `clientProfiles: auto` sets ([policies](policies.md#clientprofiles-auto)), for the clients that a "
        f"container runs and all that they are built on. Where there are several values, they are for {classes} Gb/s. "
        f"A container whose clients are not known gets {_anyone(found)} only. "
        "`warmpod profiles` prints this for one client.\n\n"
        + _table(("client", "setting", "value", "why", "source"), rows)
        + "\nWhat no pod spec can set:\n\n"
        + _table(("client", "people look for", "where it is set"), outside)
    )


def _anyone(found: Profiles) -> str:
    *names, last = sorted({f"`{row.name}`" for row in found.rows if row.anyone})
    return f"{', '.join(names)} and {last}"


def _variables(known: Catalogue, client: str) -> str:
    found = [each for each in known.variables.values() if each.status == "read" and client in each.clients]
    if not found:
        return ""
    rows = [
        (
            f"`{each.name}`",
            each.type.text if each.type else "-",
            each.default or "-",
            each.since or "-",
            each.advice or "-",
            "; ".join(each.source),
        )
        for each in found
    ]
    return f"### {client}\n\n" + _table(("variable", "value", "default", "since", "advice", "source"), rows)


def _unread(known: Catalogue) -> str:
    rows = [
        (f"`{each.name}`", ", ".join(each.instead) or "-", each.advice or "-")
        for each in known.variables.values()
        if each.status == "none"
    ]
    text = (
        "## Names that nobody reads\n\nPeople set them; they are in no source and no binary of the clients above.\n\n"
    )
    return text + _table(("name", "use instead", "why"), rows)


def _dead(known: Catalogue) -> str:
    rows = [
        (
            f"`{each.name}`",
            ", ".join(sorted(each.clients)),
            each.gone,
            ", ".join(each.instead) or "-",
            "; ".join(each.source),
        )
        for each in known.variables.values()
        if each.status == "dead"
    ]
    return "## Names that are not read any more\n\n" + _table(
        ("name", "client", "gone since", "use instead", "source"), rows
    )


def _prefixes(known: Catalogue) -> str:
    words = {"open": "any name may follow", "closed": "the names above are all", "none": "nobody reads any"}
    rows = [
        (
            f"`{each.prefix}`",
            ", ".join(sorted(each.clients)) or "-",
            words[each.names],
            each.advice or "-",
            "; ".join(each.source),
        )
        for each in sorted(known.prefixes, key=lambda each: each.prefix)
    ]
    return "## Prefixes\n\n" + _table(("prefix", "client", "names", "advice", "source"), rows)


def _settings(known: Catalogue) -> str:
    rows = [
        (
            f"`{each.key}`",
            each.type.text,
            "both" if len(each.transfer) == 2 else f"{min(each.transfer)} alone",
            each.default or "-",
            each.advice or "-",
            "; ".join(each.source),
        )
        for each in known.settings.values()
    ]
    return (
        "## Keys of `awsConfig`\n\n"
        "The AWS CLI has two clients for transfers, classic and crt; keys outside s3 concern both.\n\n"
        + _table(("key", "value", "transfer client", "default", "advice", "source"), rows)
    )


def _code_only(known: Catalogue) -> str:
    rows = [
        (each.name, ", ".join(sorted(each.clients)), each.default, each.advice, "; ".join(each.source))
        for each in known.code_only
    ]
    return "## In code or by flags alone\n\n" + _table(("setting", "client", "default", "advice", "source"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page(catalogue()))
