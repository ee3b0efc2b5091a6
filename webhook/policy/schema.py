"""The JSON Schema of policy files and their tests, for editors and CI. Made from the models; the same every time."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from webhook.kube import Object, names
from webhook.policy.document import KINDS, ClientProfileDocument, NodeCacheDocument, WarmPolicyDocument
from webhook.policy.warmtest import WarmTestDocument

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID: Final = f"https://{names.API_VERSION}/policy.schema.json"

#: What has a schema: what policy files hold, and what tests of them hold.
DOCUMENTS: Final = {**KINDS, "WarmTest": WarmTestDocument}

_Any = Annotated[
    WarmPolicyDocument | NodeCacheDocument | ClientProfileDocument | WarmTestDocument, Field(discriminator="kind")
]


def json_schema(kind: str | None = None) -> Object:
    """Return the schema of one kind, or of any document of ours (`oneOf` by `kind`). KeyError for others."""
    adapter: TypeAdapter[Any] = TypeAdapter(_Any if kind is None else DOCUMENTS[kind])
    body = _tidied(adapter.json_schema(by_alias=True))
    title = "Warmpod policy document" if kind is None else f"Warmpod {kind}"
    identity = SCHEMA_ID if kind is None else SCHEMA_ID.replace("policy.schema", f"{kind.lower()}.schema")
    body.pop("title", None)
    described = body.pop("description", f"A document of {names.API_VERSION}: {', '.join(DOCUMENTS)}.")
    return {"$schema": _DRAFT, "$id": identity, "title": title, "description": described, **body}


def _tidied(schema: Any, name: str = "") -> Any:
    """Without OpenAPI's `discriminator` and made-up titles of fields; every description on one line."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$defs" in schema:
        definitions = {name: _tidied(each, name) for name, each in schema["$defs"].items()}
        return {**_tidied({key: each for key, each in schema.items() if key != "$defs"}), "$defs": definitions}
    tidy = {key: _tidied(each) for key, each in schema.items() if key not in {"title", "discriminator"}}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    return {"title": name.removesuffix("Document"), **tidy} if name else tidy
