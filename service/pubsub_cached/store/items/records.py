"""Items as records: the columns that they are made of, and in what order."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy.orm import InstrumentedAttribute

from ...address import Address
from ...records import ItemRecord
from ..models import Item
from ..statement import Row

# What the database sorts by.
KEYS: dict[str, InstrumentedAttribute[Any]] = {
    "created": Item.created,
    "modified": Item.modified,
    "id": Item.item_id,
}

# The keys of a record that come from a column, in the order that ``of_rows`` takes them in.
FIELDS: dict[str, InstrumentedAttribute[Any]] = {
    "payload": Item.payload,
    "data": Item.data,
    "type": Item.type,
    "subtype": Item.subtype,
    "errors": Item.errors,
    "publisher": Item.publisher,
    "created": Item.created_at,
    "modified": Item.modified_at,
    "namespace": Item.namespace,
    "flags": Item.flags,
    "revision": Item.revision,
}
# What percent-encoding leaves as it is (RFC 3986 2.3).
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*").fullmatch
_decode_errors = msgspec.json.Decoder(list[str]).decode


def of_rows(rows: list[Row], uri: str) -> list[ItemRecord]:
    """Rows of id, place and ``FIELDS``, all of one node; uri: the beginning of their URIs, "" for none."""
    records: list[ItemRecord] = []
    for id_, _, payload, data, type_, subtype, errs, publisher, created, modified, namespace, flags, revision in rows:
        record: ItemRecord = {"id": id_}
        if payload:
            record["payload"] = payload
        if data is not None:
            record["data"] = data
        if type_:
            record["type"] = type_
        if subtype:
            record["subtype"] = subtype
        if errs:
            record["errors"] = _decode_errors(errs)
        if publisher:
            record["publisher"] = publisher
        if created is not None:
            record["created"] = created
        if modified is not None:
            record["modified"] = modified
        if namespace:
            record["namespace"] = namespace
        if flags is not None:
            record["flags"] = flags.split()
        if revision is not None:
            record["revision"] = revision
        if uri:
            record["uri"] = uri + (id_ if _PLAIN(id_) else quote(id_, safe=""))
        records.append(record)
    return records


@lru_cache(maxsize=1024)
def uri_before_id(address: Address) -> str:
    """The URI of an item as far as its id."""
    return address.uri("")
