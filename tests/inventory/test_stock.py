"""Keeping sets of nodes up to date is the same as making them anew."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inventory.test_fold import EVENTS, RULES, everything, play
from webhook.inventory import stock
from webhook.inventory.cluster import Cluster
from webhook.inventory.columns import Columns

KEYS = st.frozensets(st.sampled_from("abcd"))
CHANGES = st.lists(st.tuples(st.sampled_from(["insert", "delete", "move"]), st.integers(0, 200), KEYS), max_size=80)


@given(st.lists(KEYS, max_size=150), CHANGES)
def test_columns_follow_their_rows(rows: list[frozenset[str]], changes: list[tuple[str, int, frozenset[str]]]) -> None:
    kept: Columns[str] = Columns()
    kept.rebuild(rows)
    for what, where, keys in changes:
        before = {key: kept[key] for key in "abcd"}
        kept.touched.clear()
        if what == "insert":
            rows.insert(where % (len(rows) + 1), keys)
            kept.insert(where % len(rows), keys)
        elif rows and what == "delete":
            kept.delete(where % len(rows), rows[where % len(rows)])
            del rows[where % len(rows)]
        elif rows:
            kept.move(where % len(rows), rows[where % len(rows)], keys)
            rows[where % len(rows)] = keys
        assert {key for key in "abcd" if kept[key] != before[key]} <= kept.touched
        made: Columns[str] = Columns()
        made.rebuild(rows)
        assert {key: kept[key] for key in kept} == {key: made[key] for key in made}


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_an_inventory_kept_is_an_inventory_made_anew(events: list[Any]) -> None:
    kept, made = Cluster(RULES), Cluster(RULES)
    asked: list[bytes] = []
    play(events, kept, lambda: asked.append(everything(kept)[0]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stock, "FEW", -1)
        patched.setattr(stock, "MANY", 10**9)
        anew: list[bytes] = []
        play(events, made, lambda: anew.append(everything(made)[0]))
    assert asked == anew
