"""Data forms (XEP-0004, XEP-0068), wherever they are embedded."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element

from . import xml

NAMESPACE = "jabber:x:data"
TAG = f"{{{NAMESPACE}}}x"


class Option(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A choice of a list field."""

    label: str = ""
    value: str


class FormField(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A field; var is "" for a text between the fields."""

    var: str
    type: str = ""
    label: str = ""
    required: bool
    options: list[Option] = []
    values: list[str] = []


class Form(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A form, asked or answered; form_type is the field FORM_TYPE, which is not repeated among the fields."""

    form_type: str = ""
    title: str = ""
    instructions: list[str] = []
    fields: list[FormField] = []

    def first(self, var: str) -> str:
        """The first value of a field, or ""."""
        found = self.all(var)
        return found[0] if found else ""

    def all(self, var: str) -> list[str]:
        """The values of a field."""
        return next((field.values for field in self.fields if field.var == var), [])


def parse(element: _Element) -> Form:
    """The form that an ``<x/>`` is."""
    form = Form()
    for child in element:
        match child.tag.removeprefix(f"{{{NAMESPACE}}}"):
            case "title":
                form.title = xml.text(child)
            case "instructions":
                if text := xml.text(child):
                    form.instructions.append(text)
            case "field":
                field = _field(child)
                if field.var == "FORM_TYPE":
                    form.form_type = field.values[0] if field.values else ""
                else:
                    form.fields.append(field)
    return form


def child(element: _Element) -> Form | None:
    """The form within an element, or None."""
    found = xml.child(element, TAG)
    return None if found is None else parse(found)


def _field(element: _Element) -> FormField:
    field = FormField(
        var=element.get("var", ""), type=element.get("type", ""), label=element.get("label", ""), required=False
    )
    for child in element:
        match child.tag.removeprefix(f"{{{NAMESPACE}}}"):
            case "value":
                field.values.append(xml.text(child))
            case "required":
                field.required = True
            case "option":
                value = xml.child_text(child, f"{{{NAMESPACE}}}value")
                field.options.append(Option(label=child.get("label", ""), value=value))
    return field
