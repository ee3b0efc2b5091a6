"""What a registry says of an image: the digest that its tag names now, and the layers of one platform.

Speaks the OCI distribution specification 1.1 (pull), and asks for tokens as CNCF Distribution's token specification
says. It reads manifests only, never a layer. Whatever a registry answers is bounded, and checked against its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from webhook.kube import image
from webhook.policy.legibility import shown
from webhook.report.bake import Contents, Layer
from webhook.sources.registry_credentials import Credentials, Login, UnreadableCredentials
from webhook.sources.registry_http import Answer, Http, RegistryFailure, basic, is_loopback

__all__ = ["Platform", "Registries", "RegistryFailure"]

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT: Final = ", ".join((*_INDEXES, *_MANIFESTS))
# Docker Hub's registry answers by another name than its images have.
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s,"]+))')
_LARGEST: Final = 2**50
_MOST_LAYERS: Final = 1024


class Platform(NamedTuple):
    """`linux/amd64`, `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, text: str) -> Platform:
        """Read OS/ARCHITECTURE[/VARIANT]. Raises ValueError."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(re.fullmatch(r"[a-z0-9.]{1,32}", part) for part in parts):
            raise ValueError(f"{text!r} is not OS/ARCHITECTURE, such as linux/amd64")
        return cls(*parts)


class Registries:
    """Any number of registries. May be asked from several threads; the HTTP below is `http`.

    Of a registry that does not answer at all nobody asks again.
    """

    def __init__(self, credentials: Credentials, http: Http | None = None) -> None:
        self._credentials = credentials
        self._http = http or Http()
        self._headers: dict[tuple[str, str], str] = {}
        self._silent: set[str] = set()

    def contents(self, name: str, platform: Platform) -> Contents:
        """What the registry has under this canonical name now. Raises RegistryFailure."""
        reference = image.parse(name)
        if not isinstance(reference, image.Reference) or not reference.registry:
            raise RegistryFailure("unsupported", f"{name}: it names no registry")
        place = _Place(reference.registry, reference.repository, name)
        if place.registry in self._silent:
            raise RegistryFailure("unreachable", f"{name}: {place.registry} did not answer before")
        digest, document = self._manifest(place, reference.digest or reference.tag or "latest")
        chosen, found = digest, document
        if _type(document) in _INDEXES or "manifests" in document:
            chosen = _chosen(document, platform, name)
            _, found = self._manifest(place, chosen)
        return Contents(digest, chosen, _layers(found, name))

    def _manifest(self, place: _Place, reference: str) -> tuple[str, dict[str, Any]]:
        answer = self._asked(place, f"/v2/{place.repository}/manifests/{reference}")
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if reference.startswith("sha512:"):
            digest = f"sha512:{hashlib.sha512(answer.body).hexdigest()}"
        said = reference if _DIGEST.fullmatch(reference) else answer.headers.get("docker-content-digest", digest)
        if said.partition(":")[0] == digest.partition(":")[0] and said != digest:
            raise RegistryFailure(
                "unsupported", f"{place.name}: {place.registry} answers with other bytes than it says"
            )
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RegistryFailure("unsupported", f"{place.name}: what {place.registry} answers is no manifest")
        return digest, document

    def _asked(self, place: _Place, path: str) -> Answer:
        headers = {"Accept": _ACCEPT}
        known = self._headers.get((place.registry, place.repository))
        try:
            answer = self._http.get(place.url(path), headers | ({"Authorization": known} if known else {}), place.name)
        except RegistryFailure as failure:
            if failure.why == "unreachable":  # a hundred images of it would each wait as long
                self._silent.add(place.registry)
            raise
        if answer.status == 401:
            said = self._authorization(place, answer.headers.get("www-authenticate", ""))
            self._headers[place.registry, place.repository] = said
            answer = self._http.get(place.url(path), {**headers, "Authorization": said}, place.name)
        if answer.status != 200:
            raise _refusal(place, answer)
        return answer

    def _authorization(self, place: _Place, challenge: str) -> str:
        """The Authorization header that the registry asks for."""
        try:
            login = self._credentials.of(place.registry)
        except UnreadableCredentials as error:
            raise RegistryFailure("denied", f"{place.name}: {error}") from None
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and login is not None and login.user:
            return basic(login.user, login.secret)
        if scheme.lower() != "bearer":
            raise RegistryFailure("denied", f"{place.name}: {place.registry} wants a login; {_LOGIN}")
        said = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        return f"Bearer {self._token(place, said, login)}"

    def _token(self, place: _Place, said: Mapping[str, str], login: Login | None) -> str:
        realm, scope = said.get("realm", ""), f"repository:{place.repository}:pull"
        asked = {"service": said.get("service", ""), "scope": scope}
        if not _is_safe(realm, place.registry):
            raise RegistryFailure("unsupported", f"{place.name}: {place.registry} has tokens at no https:// address")
        if login is not None and not login.user:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": login.secret, "client_id": "warmpod"}
            answer = self._http.post(realm, form, place.name)
        else:
            headers = {} if login is None else {"Authorization": basic(login.user, login.secret)}
            answer = self._http.get(realm, headers, place.name, query=asked)
        if answer.status != 200:
            raise _refusal(place, answer)
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        token = told.get("token") or told.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise RegistryFailure("unsupported", f"{place.name}: {place.registry} is given no token for it")
        return token


class _Place(NamedTuple):
    registry: str
    repository: str
    name: str

    def url(self, path: str) -> str:
        """Registries speak TLS, but for those on this machine: docker's own rule."""
        scheme = "http" if is_loopback(self.registry) else "https"
        return f"{scheme}://{_HOSTS.get(self.registry, self.registry)}{path}"


_LOGIN: Final = "--docker-config FILE names what `docker login` wrote"


def _is_safe(realm: str, registry: str) -> bool:
    """Whether a password may go to a token server: never in the clear, but from this machine to itself."""
    try:
        address = urlsplit(realm)
    except ValueError:
        return False
    is_near = is_loopback(registry) and is_loopback(address.netloc) and address.scheme == "http"
    return bool(address.netloc) and (address.scheme == "https" or is_near)


def _refusal(place: _Place, answer: Answer) -> RegistryFailure:
    where = f"{place.name}: {place.registry}"
    if answer.status == 404:
        return RegistryFailure("missing", f"{where} has no such image")
    if answer.status in (401, 403):
        return RegistryFailure("denied", f"{where} lets us not read it; {_LOGIN}")
    if answer.status == 429:
        return RegistryFailure("throttled", f"{where} was asked too often; come again later, or with a login")
    return RegistryFailure("unreachable", f"{where} answers with HTTP {answer.status}")


def _type(document: Mapping[str, Any]) -> str:
    found = document.get("mediaType")
    return found if isinstance(found, str) else ""


def _chosen(index: Mapping[str, Any], platform: Platform, name: str) -> str:
    """The digest of the manifest for a platform. Where a variant is not asked for, the first one serves."""
    found = []
    entries = index.get("manifests")
    for entry in entries if isinstance(entries, list) else ():
        said = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(said, dict) and isinstance(entry.get("digest"), str) and _DIGEST.fullmatch(entry["digest"]):
            one = tuple(str(said.get(key) or "") for key in ("os", "architecture", "variant"))
            found.append("/".join(filter(None, one)))
            if one[:2] == platform[:2] and platform.variant in ("", one[2]):
                digest: str = entry["digest"]
                return digest
    known = ", ".join(sorted({shown(each, 40) for each in found if not each.startswith("unknown")})[:6]) or "none"
    raise RegistryFailure("unsupported", f"{name}: not for {'/'.join(filter(None, platform))}; there is {known}")


def _layers(manifest: Mapping[str, Any], name: str) -> tuple[Layer, ...]:
    entries = manifest.get("layers")
    if not isinstance(entries, list) or len(entries) > _MOST_LAYERS:
        raise RegistryFailure("unsupported", f"{name}: its manifest is of a kind that is not read (schema 1?)")
    found = []
    for entry in entries:
        digest, size = (entry.get("digest"), entry.get("size")) if isinstance(entry, dict) else (None, None)
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise RegistryFailure("unsupported", f"{name}: a layer of its manifest has no digest")
        if type(size) is not int or not 0 <= size <= _LARGEST:
            raise RegistryFailure("unsupported", f"{name}: a layer of its manifest has no size")
        found.append(Layer(digest, size))
    return tuple(found)
