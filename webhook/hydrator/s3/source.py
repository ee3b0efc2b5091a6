"""A bucket's prefix, or one object of it, as a source of a model."""

from __future__ import annotations

import os
import time
from _thread import get_ident  # threading takes milliseconds to import
from collections.abc import Callable, Mapping
from typing import TypeVar

from webhook.hydrator.backoff import jittered
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.plan import MAX_FILES, File, Filters, Plan, make
from webhook.hydrator.s3 import address, listing
from webhook.hydrator.s3.access import Access
from webhook.hydrator.s3.client import Client
from webhook.hydrator.s3.credentials import Credentials
from webhook.hydrator.s3.markup import NotXml
from webhook.hydrator.s3.reader import S3Reader, explained
from webhook.hydrator.s3.refusal import Asked, Elsewhere, Forbidden, Stale
from webhook.hydrator.s3.route import Route, Unreached
from webhook.hydrator.s3.settings import Settings

_T = TypeVar("_T")
_NOTICED = 1.0  # of a longer pause people are told: who waits for a pod looks at its log
_HOPELESS_TRIES = 4
_SESSION_SECONDS = 3.0  # as in access


class S3Source:
    """A Source, of `s3://bucket/prefix/` or `s3://bucket/object`. `note` takes remarks for people.

    Made before anything else is forked, as it forks the process that finds credentials. HydrationError USAGE.
    """

    def __init__(
        self,
        name: str,
        filters: Filters,
        settings: Settings,
        environ: Mapping[str, str],
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._name = name
        self._filters = filters
        self._settings = settings
        self._environ = environ
        self._note = note or (lambda _: None)
        self._place = address.parse(name)
        endpoint = address.resolve(self._place.bucket, settings)
        self._access = Access(environ, settings)
        try:
            self._route = Route(endpoint, settings, environ)
        except BaseException:
            self._access.close()
            raise
        if endpoint.service == "s3express" and not settings.unsigned:
            self._access.session = self._create_session
        self._kept: dict[tuple[int, int], S3Reader] = {}
        self._planner: Client | None = None

    def plan(self) -> Plan:
        """As Source.plan."""
        try:
            return make(self._name, self._listed(), self._filters)
        finally:
            self._rest()

    def prove(self, plan: Plan) -> None:
        """As Source.prove: reads a byte of the first file that has one."""
        file = next((file for file in plan.files if file.size), plan.files[0])

        def read() -> None:
            body = S3Reader(self._client(), self._place.bucket, self._access.origin).open(file, 0, min(1, file.size))
            body.readinto(memoryview(bytearray(1)))
            body.close()

        try:
            self._patiently(read)
        finally:
            self._rest()

    def stated_crc64(self, file: File) -> int | None:
        """As Source.stated_crc64."""
        me = (os.getpid(), get_ident())  # a connection of another thread, or of the parent, is not ours
        if me not in self._kept:
            self._kept[me] = self.reader()
        return self._kept[me].stated_crc64(file)

    def tend(self) -> None:
        """As Source.tend."""
        self._access.tend()

    def reader(self) -> S3Reader:
        """As Source.reader."""
        return S3Reader(self._new_client(self._route), self._place.bucket, self._access.origin)

    def close(self) -> None:
        """As Source.close."""
        self._rest()
        for reader in self._kept.values():
            reader.close()
        self._access.close()

    def _listed(self) -> list[File]:
        """The files below the prefix, else the one object of the name."""
        bucket, name = self._place
        prefix = f"{name}/" if name else ""
        found: list[File] = []
        denied: HydrationError | None = None
        try:
            token = ""
            while True:
                page = self._patiently(lambda token=token: self._page(prefix, token))  # type: ignore[misc]  # a lambda's default has no type
                found += [_file(one, prefix) for one in page.objects]
                if not page.token or len(found) > MAX_FILES:
                    break
                if page.token == token:
                    raise _no_listing(self._route, "it repeats itself")
                token = page.token
        except Forbidden as error:
            if not name:
                raise
            denied = error  # who may not list may still read an object
        if found or not name:
            return found
        try:
            return [self._patiently(lambda: self._single(name))]
        except HydrationError as error:
            if denied:
                raise denied from None
            if error.exit_code == Exit.NOT_FOUND:
                raise HydrationError(
                    Exit.NOT_FOUND,
                    f"s3://{bucket}/{name} is neither an object nor a prefix of any",
                    "check the spelling of the source (case counts), and that the model was uploaded there",
                ) from None
            raise

    def _page(self, prefix: str, token: str) -> listing.Page:
        client = self._client()
        fields = {"encoding-type": "url", "list-type": "2", "max-keys": "1000", "prefix": prefix}
        if token:
            fields["continuation-token"] = token
        query = "&".join(f"{name}={address.encoded(value)}" for name, value in sorted(fields.items()))
        answer = client.ask("GET", client.endpoint.base + "/", query)
        if answer.status != 200:
            raise client.refuse(answer, Asked("s3:ListBucket", self._place.bucket, prefix, self._access.origin))
        body = client.connection.rest(listing.MAX_PAGE)
        client.connection.finish()
        if len(body) > listing.MAX_PAGE:
            raise _no_listing(self._route, f"it is longer than {listing.MAX_PAGE >> 20} MiB")
        try:
            page = listing.parse_page(body)
        except NotXml as error:
            raise _no_listing(self._route, str(error)) from None
        for one in page.objects:
            if not one.key.startswith(prefix):
                raise _no_listing(self._route, f"{one.key[:100]!r} is not below {prefix!r}")
        return page

    def _single(self, name: str) -> File:
        client = self._client()
        path = client.endpoint.path(name)
        answer = client.ask("HEAD", path)
        if answer.status != 200:
            raise explained(client, answer, path, Asked("s3:GetObject", self._place.bucket, name, self._access.origin))
        size = answer.length
        try:
            etag = listing.tag(name, answer.headers.get("etag", ""))
        except NotXml as error:
            raise _no_listing(self._route, str(error)) from None
        if size is None:
            raise _no_listing(self._route, "an object without a length")
        return File(name.rpartition("/")[2], size, etag, name)

    def _create_session(self, base: Credentials) -> Credentials:
        quick = self._settings._replace(stall_seconds=_SESSION_SECONDS, connect_seconds=_SESSION_SECONDS)
        client = self._new_client(Route(self._route.endpoint, quick, self._environ))
        try:
            asked = Asked("s3express:CreateSession", self._place.bucket, "", self._access.origin)
            return client.create_session(base, asked)
        finally:
            client.close()

    def _patiently(self, act: Callable[[], _T]) -> _T:
        """Do it, and again while there is hope. HydrationError."""
        tries, stale, renewed, moved = 0, False, False, False
        while True:
            tries += 1
            try:
                if stale:
                    renewed = True
                    self._access.renew()
                    stale = False
                self._access.begin()
                return act()
            except Elsewhere as error:
                if moved or not self._move(error.region):
                    raise
                moved = True
            except Stale as error:
                if renewed:
                    hint = "what was given anew is refused as well: check the clock of this node"
                    raise HydrationError(Exit.DENIED, error.message, hint) from None
                stale = True
            except Transient as error:
                hopeless = isinstance(error, Unreached) and error.hopeless
                if tries >= (min(self._settings.attempts, _HOPELESS_TRIES) if hopeless else self._settings.attempts):
                    hint = error.hint if isinstance(error, Unreached) else "run again later; see the store's own log"
                    tried = f" ({tries} attempts)" if tries > 1 else ""
                    raise HydrationError(Exit.UNREACHABLE, error.message + tried, hint) from None
                pause = max(error.delay, jittered(tries))
                if pause >= _NOTICED:
                    turn = f"attempt {tries + 1} of {self._settings.attempts}"
                    self._note(f"{error.message}; trying again in {pause:.0f} s ({turn})")
                time.sleep(pause)

    def _move(self, region: str) -> bool:
        """Go where the bucket is, unless somebody named an endpoint or it is another partition."""
        before = self._route.endpoint
        settings = self._settings._replace(region=region)
        after = address.resolve(self._place.bucket, settings)
        if before.overridden or after.partition != before.partition:
            return False
        self._rest()
        if self._settings.region:
            self._note(
                f"s3://{self._place.bucket} is in {region}, not in {self._settings.region}: reading across regions is "
                "slower and is billed by the byte"
            )
        else:
            self._note(f"s3://{self._place.bucket} is in {region}; AWS_REGION={region} saves asking for that")
        self._settings = settings
        self._route = Route(after, settings, self._environ)
        return True

    def _client(self) -> Client:
        if self._planner is None:
            self._planner = self._new_client(self._route)
        return self._planner

    def _new_client(self, route: Route) -> Client:
        return Client(route, self._access, request_payer=self._settings.request_payer)

    def _rest(self) -> None:
        """Close the planning connection: processes that are forked would hold it open."""
        if self._planner:
            self._planner.close()
            self._planner = None


def _file(one: listing.Listed, prefix: str) -> File:
    return File(one.key[len(prefix) :], one.size, one.etag, one.key)


def _no_listing(route: Route, why: str) -> HydrationError:
    return HydrationError(
        Exit.UNREACHABLE,
        f"{route.place} does not answer as S3 does: {why}",
        "check --endpoint-url; a proxy or login page in between may answer in its place",
    )
