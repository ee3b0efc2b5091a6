"""One decision at a time: what is stored, what is seen, and the step that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import bundle, contents, marks, rotation
from certs.contents import KEYS
from certs.issue import InvalidName, Pair, check_pair, issue_authority, issue_leaf
from certs.rotation import Asked, Seen, Terms
from certs.steps import Announce, Begin, Confirm, Discard, Doubt, Issue, Promote, Retire, Rewrite, Step, Trust, Wait

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TERMS = Terms(("a.svc", "a.svc.cluster.local"))
Secret = dict[str, bytes]


def carried(kind: type[Rewrite], secret: Mapping[str, bytes] | None, now: datetime = NOW) -> Secret:
    return rotation.carry_out(kind("because"), secret, TERMS, now)


FIRST = carried(Begin, None)
NEXT = carried(Announce, FIRST)
SWITCHED = carried(Promote, NEXT)
OTHER = issue_authority(NOW, common_name="somebody")


def trusted(secret: Mapping[str, bytes], now: datetime = NOW) -> bytes:
    return bundle.render(contents.read(secret, now).trusted)


def serial(secret: Mapping[str, bytes]) -> str:
    return check_pair(secret["tls.crt"], secret["tls.key"], NOW).serial


def seen(secret: Mapping[str, bytes], **changes: object) -> Seen:
    """A world that has followed for long."""
    usual = Seen(
        bundles=(trusted(secret), trusted(secret)),
        trusted_since=NOW - DAY,
        switched_at=NOW - DAY,
        serials=frozenset({serial(secret)}) if "tls.crt" in secret else frozenset(),
        replicas_known=True,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # each case names fields of Seen


def but(secret: Secret, **changes: bytes | None) -> Secret:
    made: Secret = {**secret}
    for name, value in changes.items():
        key = name.replace("__", "-").replace("_", ".")
        made.pop(key, None)
        if value is not None:
            made[key] = value
    return made


def rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


CASES: dict[str, tuple[Secret | None, Seen, Asked | None, type[Step]]] = {
    "nothing yet": (None, Seen(replicas_known=True), None, Begin),
    "nothing yet, hooks without a bundle": (None, Seen(bundles=(b"", b""), replicas_known=True), None, Begin),
    "nothing yet, a configuration that is left over": (
        None,
        Seen((OTHER.certificate_pem,), replicas_known=True),
        None,
        Begin,
    ),
    "the Secret is gone, and the bundles' authorities have expired": (
        None,
        seen(FIRST, bundles=(issue_authority(NOW - 9 * DAY, lifetime=DAY).certificate_pem,)),
        None,
        Begin,
    ),
    "the Secret is gone, replicas serve": (None, seen(FIRST), None, Announce),
    "the Secret is gone, nobody knows of replicas": (None, seen(FIRST, replicas_known=False), None, Announce),
    "all is well": (FIRST, seen(FIRST), None, Wait),
    "all is well, without a configuration": (FIRST, seen(FIRST, bundles=()), None, Wait),
    "one hook has no bundle": (FIRST, seen(FIRST, bundles=(trusted(FIRST), b""), trusted_since=None), None, Trust),
    "one hook has lost its bundle": (FIRST, seen(FIRST, bundles=(trusted(FIRST), b"")), None, Doubt),
    "bundles are garbage": (FIRST, seen(FIRST, bundles=(b"\xff" * 99,), trusted_since=None), None, Trust),
    "a bundle holds a key, too": (FIRST, seen(FIRST, bundles=(trusted(FIRST) + FIRST["tls.key"],)), None, Trust),
    "a bundle holds thousands": (
        FIRST,
        seen(FIRST, bundles=(OTHER.certificate_pem * 90,), trusted_since=None),
        None,
        Trust,
    ),
    "a foreign authority": (FIRST, seen(FIRST, bundles=(trusted(FIRST) + OTHER.certificate_pem,)), None, Trust),
    "not noted yet": (FIRST, seen(FIRST, trusted_since=None), None, Confirm),
    "noted in a far future": (FIRST, seen(FIRST, trusted_since=NOW + DAY), None, Confirm),
    "a leaf is asked for": (FIRST, seen(FIRST), "leaf", Issue),
    "a leaf is asked for, without a configuration": (FIRST, seen(FIRST, bundles=()), "leaf", Issue),
    "a leaf is asked for while bundles settle": (FIRST, seen(FIRST, trusted_since=NOW), "leaf", Wait),
    "an authority is asked for": (FIRST, seen(FIRST), "authority", Announce),
    "an authority is asked for, without a configuration": (FIRST, seen(FIRST, bundles=()), "authority", Wait),
    "announced, not trusted": (NEXT, seen(NEXT, bundles=(trusted(FIRST),), trusted_since=None), None, Trust),
    "announced, one hook does not trust": (
        NEXT,
        seen(NEXT, bundles=(trusted(NEXT), trusted(FIRST)), trusted_since=None),
        None,
        Trust,
    ),
    "announced, trusted just now": (NEXT, seen(NEXT, trusted_since=NOW), None, Wait),
    "announced and settled": (NEXT, seen(NEXT), None, Promote),
    "announced, the configuration is gone": (NEXT, seen(NEXT, bundles=()), None, Wait),
    "switched, a replica lags": (SWITCHED, seen(SWITCHED, serials=frozenset({serial(SWITCHED), "1"})), None, Wait),
    "switched, a replica is silent": (SWITCHED, seen(SWITCHED, serials=frozenset({serial(SWITCHED), ""})), None, Wait),
    "switched, replicas unknown": (SWITCHED, seen(SWITCHED, replicas_known=False), None, Wait),
    "switched, nobody reports": (SWITCHED, seen(SWITCHED, serials=frozenset()), None, Wait),
    "switched a moment ago": (SWITCHED, seen(SWITCHED, switched_at=NOW - timedelta(seconds=3599)), None, Wait),
    "switched, nobody noted when": (SWITCHED, seen(SWITCHED, switched_at=None), None, Wait),
    "switched and overlapped": (SWITCHED, seen(SWITCHED), None, Retire),
    "an authority is asked for while one leaves": (SWITCHED, seen(SWITCHED, switched_at=NOW), "authority", Wait),
    "the key is lost": (but(FIRST, ca_key=None), seen(FIRST), None, Announce),
    "the key is another's": (but(FIRST, ca_key=OTHER.key_pem), seen(FIRST), None, Announce),
    "the key is RSA": (but(FIRST, ca_key=rsa_key()), seen(FIRST), None, Announce),
    "the authority is a leaf": (
        but(FIRST, ca_crt=FIRST["tls.crt"], ca_key=FIRST["tls.key"]),
        seen(FIRST),
        None,
        Announce,
    ),
    "the authority is lost, its leaf is good": (but(FIRST, ca_crt=None), seen(FIRST), None, Announce),
    "half a next authority": (but(NEXT, next__ca_key=None), seen(FIRST), None, Discard),
    "garbage for the one before": (but(FIRST, old__ca_crt=b"x"), seen(FIRST), None, Discard),
    "the leaf is lost": (but(FIRST, tls_crt=None, tls_key=None), seen(FIRST), None, Issue),
    "the leaf's key is another's, its authority not trusted yet": (
        but(FIRST, tls_key=OTHER.key_pem),
        seen(FIRST, trusted_since=NOW),
        None,
        Wait,
    ),
    "the leaf's key is another's": (but(FIRST, tls_key=OTHER.key_pem), seen(FIRST), None, Issue),
    "all is garbage, replicas serve": (dict.fromkeys(KEYS, b"x"), seen(FIRST), None, Announce),
    "all is garbage, nobody serves": (dict.fromkeys(KEYS, b"x"), seen(FIRST, serials=frozenset()), None, Begin),
    "the leaf is lost, so is the key, the next one is trusted": (
        but(NEXT, tls_crt=None, ca_key=None),
        seen(NEXT),
        None,
        Promote,
    ),
}


@pytest.mark.parametrize(("secret", "world", "asked", "step"), CASES.values(), ids=CASES.keys())
def test_what_follows(secret: Secret | None, world: Seen, asked: Asked | None, step: type[Step]) -> None:
    found = rotation.decide(secret, world, TERMS, NOW, asked)
    assert type(found) is step, found
    assert found.reason


@pytest.mark.parametrize(
    ("after", "step"),
    [
        (243 * DAY, Wait),
        (244 * DAY, Issue),
        (366 * DAY, Issue),
        (3651 * DAY, Begin),
    ],
    ids=["young", "two thirds", "expired", "the authority, too"],
)
def test_time_alone(after: timedelta, step: type[Step]) -> None:
    world = seen(FIRST, trusted_since=NOW, switched_at=NOW)
    assert type(rotation.decide(FIRST, world, TERMS, NOW + after)) is step


def test_an_authority_is_replaced_while_its_leaves_can_still_live_out_their_time() -> None:
    pair = Pair(OTHER.certificate, OTHER.key)
    old = issue_authority(NOW - 3164 * DAY)
    for authority, expected in ((old, Announce), (pair, Wait)):
        leaf = issue_leaf(authority, TERMS.names, NOW)
        secret = {"ca.crt": authority.certificate_pem, "ca.key": authority.key_pem}
        secret |= {"tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem}
        found = rotation.decide(secret, seen(secret), TERMS, NOW)
        assert type(found) is expected
        if isinstance(found, Wait):
            assert found.until == NOW + (leaf.certificate.not_valid_after_utc - NOW) * 2 / 3


def test_a_leaf_that_could_not_live_longer_is_not_renewed_again_and_again() -> None:
    authority = issue_authority(NOW, lifetime=DAY)
    leaf = issue_leaf(authority, TERMS.names, NOW)
    secret = {"ca.crt": authority.certificate_pem, "ca.key": authority.key_pem}
    secret |= {"tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem}
    late = NOW + DAY * 0.9
    assert isinstance(rotation.decide(secret, seen(secret, bundles=()), TERMS, late), Wait)


def test_other_names_need_another_leaf_and_nothing_else() -> None:
    terms = Terms((*TERMS.names, "127.0.0.1"))
    step = rotation.decide(FIRST, seen(FIRST), terms, NOW)
    assert isinstance(step, Issue)
    made = rotation.carry_out(step, {**FIRST, "mine": b"x"}, terms, NOW)
    assert check_pair(made["tls.crt"], made["tls.key"], NOW, authority_pem=FIRST["ca.crt"]).names == terms.names
    assert {key for key in made if made[key] != FIRST.get(key)} == {"tls.crt", "tls.key", "mine"}


def test_a_foreign_authority_stays_while_a_replica_may_serve_under_it() -> None:
    both = trusted(FIRST) + OTHER.certificate_pem
    lagging = seen(FIRST, bundles=(both,), serials=frozenset({serial(FIRST), "1"}))
    assert isinstance(rotation.decide(FIRST, lagging, TERMS, NOW), Wait)
    step = rotation.decide(FIRST, seen(FIRST, bundles=(both,)), TERMS, NOW)
    assert isinstance(step, Trust)
    assert step.bundle == trusted(FIRST)


def test_a_whole_rotation_trusts_before_it_serves_and_forgets_last() -> None:
    assert set(bundle.parse(trusted(NEXT)).certificates) > set(bundle.parse(trusted(FIRST)).certificates)
    assert trusted(SWITCHED) != trusted(NEXT)  # the one that signs stands first
    assert set(bundle.parse(trusted(SWITCHED)).certificates) == set(bundle.parse(trusted(NEXT)).certificates)
    check_pair(SWITCHED["tls.crt"], SWITCHED["tls.key"], NOW, authority_pem=NEXT["next-ca.crt"])
    done = carried(Retire, SWITCHED)
    assert sorted(done) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    assert done["ca.crt"] == NEXT["next-ca.crt"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_content_of_the_secret_is_too_strange(data: st.DataObject) -> None:
    """Bytes flipped inside real certificates and keys, keys swapped, and anything else: there is always a step."""
    values = st.sampled_from([*SWITCHED.values(), *NEXT.values(), b"", b"-----BEGIN CERTIFICATE-----", b"a" * 70_000])
    secret = {}
    for key in data.draw(st.sets(st.sampled_from(KEYS))):
        value = bytearray(data.draw(values))
        for _ in range(data.draw(st.integers(0, 3)) if value else 0):
            value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 127))
        secret[key] = bytes(value)
    bundles = tuple(data.draw(st.lists(values, max_size=3)))
    world = Seen(bundles, NOW - DAY, NOW - DAY, frozenset(data.draw(st.sets(st.sampled_from(["", "1"])))), True)
    step = rotation.decide(secret, world, TERMS, NOW, data.draw(st.sampled_from([None, "leaf", "authority"])))
    if isinstance(step, Begin | Issue | Announce | Promote | Retire | Discard):
        made = rotation.carry_out(step, secret, TERMS, NOW)
        if isinstance(step, Begin | Issue | Promote):
            check_pair(made["tls.crt"], made["tls.key"], NOW, authority_pem=made["ca.crt"])
        assert made != secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026-11-22",
        "2026-11-22T12:00:00Z",
        f"yesterday {'a' * 64}",
        "\x00",
        "2026-11-22T12:00:00.0Z " + "f" * 2000,
    ],
    ids=repr,
)
def test_a_note_that_somebody_edited_is_none(text: str) -> None:
    assert marks.trusted_since(text, contents.read(FIRST, NOW).trusted) is None


def test_a_note_holds_when_an_authority_leaves_and_not_when_one_comes() -> None:
    one, both = (contents.read(secret, NOW).trusted for secret in (FIRST, NEXT))
    note = marks.trusted(both, NOW)
    assert marks.trusted_since(note, one) == marks.trusted_since(note, both) == NOW
    assert marks.trusted_since(marks.trusted(one, NOW), both) is None


@pytest.mark.parametrize(
    "terms",
    [
        {"names": ()},
        {"leaf_lifetime": timedelta(0)},
        {"settle": -DAY},
        {"authority_lifetime": 400 * DAY},
    ],
    ids=str,
)
def test_terms_that_never_come_to_rest_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"name|negative|outlive"):
        replace(TERMS, **terms)  # type: ignore[arg-type]  # each case names fields of Terms


def test_a_name_that_no_certificate_can_bear_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InvalidName):
        Terms(("not a name",))
