"""What a link says: the state of the page in its address, read with suspicion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from compression.errors import UserError
from compression.recipe import Pins, parse_pins
from views import engine

MAX_PINS = 64
"""Of a link; each of them costs time at every position of the slider."""
MAX_LENGTH = 4000
"""Characters of a single value; nothing the page writes is longer but the pins, which are read up to here."""
PATTERN = re.compile(r"[\w.*?!\[\]-]+")
"""A pattern of site names: it is shown again as Markdown, and a link is written by anybody."""


@dataclass(frozen=True)
class Address:
    """The values a link carries; None where it is silent or says what cannot be.

    Attributes:
        model_id: model.
        method: compression method.
        policy: allocation policy.
        removed_fraction: where the slider stands.
        site: the opened site.
        pins: pinned sites.
        ignored: names of values that could not be used.
    """

    model_id: str | None = None
    method: str | None = None
    policy: str | None = None
    removed_fraction: float | None = None
    site: str | None = None
    pins: Pins = ()
    ignored: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the link says nothing at all."""
        return self == Address()


def read_address(query: Mapping[str, str]) -> Address:
    """Read the query of a link. Values that cannot be are left out and named."""
    ignored = [key for key, value in query.items() if len(value) > MAX_LENGTH]

    def text(key: str) -> str | None:
        return query.get(key) if key not in ignored else None

    def one_of(key: str, known: tuple[str, ...]) -> str | None:
        value = text(key)
        if value is not None and value not in known:
            ignored.append(key)
            return None
        return value

    fraction: float | None = None
    pins: Pins = ()
    if (said := text("ratio")) is not None:
        fraction = engine.slider_position(said)
        if fraction is None:
            ignored.append("ratio")
    if said := text("pins"):
        try:
            pins = parse_pins(said)
        except UserError:
            ignored.append("pins")
        if len(pins) > MAX_PINS or not all(PATTERN.fullmatch(pattern) for pattern, _ in pins):
            pins = ()
            ignored.append("pins")
    return Address(
        model_id=text("model") or None,
        method=one_of("method", engine.method_names()),
        policy=one_of("policy", engine.policy_names()),
        removed_fraction=fraction,
        site=text("site") or None,
        pins=pins,
        ignored=tuple(sorted(ignored)),
    )
