"""Forms to fill in, and filled in (XEP-0346)."""

from __future__ import annotations

import msgspec

from .. import forms
from ..definition import Definition, Kind
from ..forms import Form
from ..item import Item

SHAPES: dict[str, type[msgspec.Struct]] = {"form/template": Form, "form/submitted": Form}


def parse(item: Item) -> Form | None:
    """A data form."""
    if item.element.tag != forms.TAG:
        item.strange("no data form")
        return None
    return forms.parse(item.element)


def _definition(subtype: str, kind: Kind) -> Definition:
    return Definition(
        name=f"form-{subtype}",
        type="form",
        subtype=subtype,
        node=f"fdp/{subtype}/",
        kind=kind,
        to_sync=True,
        demand=True,
        parser=parse,
    )


DEFINITIONS = (_definition("template", "last"), _definition("submitted", "log"))
