"""Records as they are sent: byte for byte what the library writes of the same as variants."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.bus import Record, Records
from pubsub_cached.bus.marshalling import marshalled
from pubsub_cached.records import INFO, ITEM

TABLE = {"text": "s", "flag": "b", "small": "i", "count": "u", "time": "x", "revision": "t", "path": "o", "texts": "as"}

# The bus takes no NUL in a string, and nothing that is stored has one.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXTS,
        "flag": st.booleans(),
        "small": st.integers(-(2**31), 2**31 - 1),
        "count": st.integers(0, 2**32 - 1),
        "time": st.integers(-(2**63), 2**63 - 1),
        "revision": st.integers(0, 2**64 - 1),
        "path": st.sampled_from(["/", "/a", "/im/pubsubcache1"]),
        "texts": st.lists(TEXTS, max_size=4),
    },
)


def variants(record: dict[str, Any]) -> dict[str, Variant]:
    return {key: Variant(TABLE[key], value) for key, value in record.items()}


def reply(signature: str, *body: Any, **fields: Any) -> Message:
    return Message(
        message_type=MessageType.METHOD_RETURN,
        serial=7,
        reply_serial=5,
        destination=":1.42",
        signature=signature,
        body=list(body),
        validate=False,
        **fields,
    )


@given(st.lists(RECORDS, max_size=4), TEXTS, RECORDS)
def test_a_reply_is_what_the_library_makes_of_variants(
    records: list[dict[str, Any]], cursor: str, info: dict[str, Any]
) -> None:
    ours = reply("aa{sv}sa{sv}", Records(records, TABLE), cursor, Record(info, TABLE))
    theirs = reply("aa{sv}sa{sv}", [variants(each) for each in records], cursor, variants(info))

    assert marshalled(ours) == theirs._marshall(True)


@given(RECORDS, TEXTS, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.lists(TEXTS, max_size=3), st.booleans())
def test_values_beside_a_record_stand_where_they_have_to(
    record: dict[str, Any], text: str, number: int, wide: int, texts: list[str], flag: bool
) -> None:
    beside = (number, "/a", wide, texts, flag, text)
    ours = reply("a{sv}uotasbs", Record(record, TABLE), *beside)
    theirs = reply("a{sv}uotasbs", variants(record), *beside)

    assert marshalled(ours) == theirs._marshall(True)


@given(RECORDS, st.sampled_from([None, ":1.42"]))
def test_a_signal_is_what_the_library_makes_of_variants(record: dict[str, Any], destination: str | None) -> None:
    fields: dict[str, Any] = {
        "message_type": MessageType.SIGNAL,
        "serial": 9,
        "path": "/im/pubsubcache1/view/1_42/t",
        "interface": "im.pubsubcache1.View",
        "member": "Added",
        "destination": destination,
        "signature": "aa{sv}",
    }
    ours = Message(**fields, body=[Records([record], TABLE)])
    theirs = Message(**fields, body=[[variants(record)]])

    assert marshalled(ours) == theirs._marshall(True)


def test_the_number_of_descriptors_is_in_the_header() -> None:
    ours = reply("a{sv}", Record({}, INFO), unix_fds=[1, 2])

    assert marshalled(ours) == reply("a{sv}", {}, unix_fds=[1, 2])._marshall(True)


def test_a_key_that_the_table_lacks_is_a_fault() -> None:
    with pytest.raises(KeyError):
        marshalled(reply("a{sv}", Record({"colour": "red"}, ITEM)))


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"job": "/a\n"}, TypeError),
        ({"job": 1}, TypeError),
        ({"revision": "7"}, struct.error),
        ({"index": -1}, struct.error),
        ({"index": 2**32}, struct.error),
        ({"first": 1}, AttributeError),
        ({"first": "\ud800"}, UnicodeEncodeError),
    ],
)
def test_a_value_of_another_type_is_a_fault(record: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        marshalled(reply("a{sv}", Record(record, INFO)))


def test_a_string_is_no_list_of_strings() -> None:
    with pytest.raises(TypeError, match="a list of strings"):
        marshalled(reply("a{sv}", Record({"flags": "read"}, ITEM)))
