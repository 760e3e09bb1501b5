"""Data forms (XEP-0004): the one place where they are built and read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .port import Fields, FormField

FORM = "{jabber:x:data}"
FORM_TYPE = "FORM_TYPE"

# FORM_TYPE of what XEP-0060 16.4 registers.
_PUBSUB = "http://jabber.org/protocol/pubsub#"
METADATA = _PUBSUB + "meta-data"
NODE_CONFIG = _PUBSUB + "node_config"
PUBLISH_OPTIONS = _PUBSUB + "publish-options"
SUBSCRIBE_OPTIONS = _PUBSUB + "subscribe_options"


def submit(form_type: str, fields: Fields) -> ET.Element:
    """A form filled in (XEP-0004 3.1 type ``submit``); a field without values clears what was there."""
    form = ET.Element(FORM + "x", type="submit")
    _field(form, FORM_TYPE, [form_type]).set("type", "hidden")
    for name, values in fields.items():
        _field(form, name, values)
    return form


def fields(form: ET.Element) -> tuple[FormField, ...]:
    """The fields of a form in order, without FORM_TYPE and those that only hold a text to show."""
    return tuple(
        FormField(name, _values(field), field.get("type", ""))
        for field in form.iterfind(FORM + "field")
        if (name := field.get("var", "")) not in ("", FORM_TYPE) and field.get("type") != "fixed"
    )


def values(form: ET.Element) -> dict[str, list[str]]:
    """The values of a form's fields by name, FORM_TYPE among them."""
    return {field.get("var", ""): list(_values(field)) for field in form.iterfind(FORM + "field") if field.get("var")}


def _field(form: ET.Element, name: str, values: Sequence[str]) -> ET.Element:
    field = ET.SubElement(form, FORM + "field", var=name)
    for value in values:
        ET.SubElement(field, FORM + "value").text = value
    return field


def _values(field: ET.Element) -> tuple[str, ...]:
    return tuple(value.text or "" for value in field.iterfind(FORM + "value"))
