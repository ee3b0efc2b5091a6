"""What every mapping of a document is, and what names a document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from webhook.policy.text import Name


class Strict(BaseModel):
    """A mapping of known fields, in camelCase, whose values are of their types and not merely like them."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class Metadata(Strict):
    """What names a document."""

    name: Name
    """Unique among documents of the kind: 1-63 lower-case letters, digits and '-'."""
