"""Options: every type that a binding may send is understood, everything else is named and refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.api.options import Fields, File, Flag, Host, Number, Option, Order, Table, Text, Texts, Token
from pubsub_cached.bus import Variant
from pubsub_cached.errors import InvalidArgs

BOUNDS = {
    "y": (0, 2**8 - 1),
    "n": (-(2**15), 2**15 - 1),
    "q": (0, 2**16 - 1),
    "i": (-(2**31), 2**31 - 1),
    "u": (0, 2**32 - 1),
    "x": (-(2**63), 2**63 - 1),
    "t": (0, 2**64 - 1),
}
# Up to here every whole number is a double.
EXACT = 2**53

LIMIT = Number("u", 1, 500, capped=True)
PORT = Number("q", 1, 65535)

integers = st.sampled_from(sorted(BOUNDS)).flatmap(
    lambda kind: st.integers(*BOUNDS[kind]).map(lambda value: Variant(kind, value))
)
texts = st.text().filter(lambda text: "\0" not in text)


def read(option: Option, signature: str, value: Any) -> Any:
    return Table("Call", {"key": option}).read({"key": Variant(signature, value)})["key"]


def refused(option: Option, signature: str, value: Any) -> str:
    with pytest.raises(InvalidArgs) as caught:
        read(option, signature, value)
    assert "'key'" in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value.message


# Numbers


@given(integers)
def test_every_integer_type_is_a_number(variant: Variant) -> None:
    number = Number("x", -(2**63), 2**64)
    assert number.read("key", variant) == variant.value


@given(st.integers(-EXACT, EXACT))
def test_a_whole_double_is_a_number(value: int) -> None:
    found = read(Number("x", -EXACT, EXACT), "d", float(value))
    assert found == value
    assert type(found) is int


@given(st.floats().filter(lambda value: not value.is_integer()))
def test_a_double_that_is_not_whole_is_refused(value: float) -> None:
    assert str(value) in refused(Number("x", -(2**63), 2**63), "d", value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 2.5])
def test_infinity_and_nan_are_no_numbers(value: float) -> None:
    refused(LIMIT, "d", value)


@given(integers)
def test_a_number_is_in_its_range_or_refused(variant: Variant) -> None:
    if 1 <= variant.value <= 65535:
        assert PORT.read("key", variant) == variant.value
    else:
        with pytest.raises(InvalidArgs, match=re.escape(str(variant.value))):
            PORT.read("key", variant)


@given(integers)
def test_a_capped_number_above_the_most_is_the_most(variant: Variant) -> None:
    if variant.value >= 1:
        assert LIMIT.read("key", variant) == min(variant.value, 500)
    else:
        with pytest.raises(InvalidArgs, match="1 is the least"):
            LIMIT.read("key", variant)


@pytest.mark.parametrize(("signature", "value"), [("b", True), ("s", "5"), ("as", ["5"]), ("o", "/5"), ("au", [5])])
def test_other_types_are_no_numbers(signature: str, value: Any) -> None:
    assert f"type {signature};" in refused(LIMIT, signature, value)


# Strings and booleans


@given(st.lists(texts))
def test_a_list_of_strings_may_come_as_variants(values: list[str]) -> None:
    assert read(Texts(), "as", values) == tuple(values)
    assert read(Texts(), "av", [Variant("s", value) for value in values]) == tuple(values)


@given(texts)
def test_one_string_is_a_list_of_one(value: str) -> None:
    assert read(Texts(), "s", value) == (value,)


@pytest.mark.parametrize(
    ("signature", "value"),
    [("av", [Variant("s", "a"), Variant("u", 1)]), ("u", 1), ("b", False), ("ao", ["/a"]), ("ay", b"a")],
)
def test_other_types_are_no_lists_of_strings(signature: str, value: Any) -> None:
    assert "list of strings" in refused(Texts(), signature, value)


def test_a_list_may_have_a_most() -> None:
    assert read(Texts(2), "as", ["a", "b"]) == ("a", "b")
    assert "3 strings" in refused(Texts(2), "as", ["a", "b", "c"])


@pytest.mark.parametrize(("signature", "value"), [("u", 1), ("s", "true"), ("i", 0), ("d", 1.0), ("y", 1)])
def test_a_boolean_is_only_a_boolean(signature: str, value: Any) -> None:
    assert read(Flag(), "b", True) is True
    assert read(Flag(), "b", False) is False
    assert "boolean" in refused(Flag(), signature, value)


@pytest.mark.parametrize(("signature", "value"), [("u", 1), ("o", "/a"), ("as", ["a"]), ("b", True), ("g", "s")])
def test_other_types_are_no_strings(signature: str, value: Any) -> None:
    for option in (Text(), Host(), File(), Token(), Order(("id",), (("id", False),))):
        assert "string" in refused(option, signature, value)


def test_a_value_outside_the_choices_is_named_with_them() -> None:
    policy = Text(("default", "cache"))
    assert read(policy, "s", "cache") == "cache"
    assert refused(policy, "s", "chache") == "The option 'key' is 'chache'; it may be default or cache."


@given(st.text(st.sampled_from("aZ09_-. \n"), max_size=70))
def test_a_token_is_letters_digits_and_underscores(token: str) -> None:
    if token.replace("_", "a").isalnum() and len(token) <= 64:
        assert read(Token(), "s", token) == token
    else:
        refused(Token(), "s", token)


@pytest.mark.parametrize("token", ["", "a" * 65, "é", "a\n", "٣"])
def test_what_looks_like_a_token_but_is_none(token: str) -> None:
    refused(Token(), "s", token)


def test_a_file_has_an_absolute_path_and_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("a certificate")
    assert read(File(), "s", str(file)) == str(file)
    assert "absolute" in refused(File(), "s", "ca.pem")
    assert refused(File(), "s", f"{file}.none") == f"The option 'key' is '{file}.none': No such file or directory."
    assert "Is a directory" in refused(File(), "s", str(tmp_path))


def test_a_host_has_no_port() -> None:
    assert read(Host(), "s", "xmpp.example.org") == "xmpp.example.org"
    assert read(Host(), "s", "") == ""
    message = refused(Host(), "s", "example.org:5222")
    assert "'example.org:5222'" in message
    assert "without a port" in message


# Fields and order


def test_fields_are_keys_of_the_record() -> None:
    fields = Fields(("id", "payload"))
    assert read(fields, "as", ["id", "id"]) == {"id"}
    assert read(fields, "as", []) == frozenset()
    message = refused(fields, "as", ["id", "paylod"])
    assert "'paylod'" in message
    assert "id or payload" in message


USUAL = (("modified", True),)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", USUAL),
        ("modified", (("modified", False),)),
        ("modified desc", (("modified", True),)),
        ("created asc,id desc", (("created", False), ("id", True))),
        ("  created   desc ,\tid ", (("created", True), ("id", False))),
    ],
)
def test_an_order_is_keys_with_directions(text: str, order: tuple[tuple[str, bool], ...]) -> None:
    assert read(Order(("created", "modified", "id"), USUAL), "s", text) == order


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (" ", "''"),
        ("published", "'published'"),
        ("modified descending", "'modified descending'"),
        ("modified desc desc", "'modified desc desc'"),
        ("modified,", "''"),
        ("id, modified desc, id desc", "'id'"),
        ("Modified", "'Modified'"),
    ],
)
def test_what_is_no_order_is_named(text: str, named: str) -> None:
    assert named in refused(Order(("created", "modified", "id"), USUAL), "s", text)


# Tables


def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    table = Table("GetItems", {"limit": LIMIT, "after": Text()})
    with pytest.raises(InvalidArgs) as caught:
        table.read({"limt": Variant("u", 1)})
    assert caught.value.message == "GetItems does not know the option 'limt'; it knows after and limit."
    with pytest.raises(InvalidArgs, match="it knows none"):
        Table("GetNode", {}).read({"limit": Variant("u", 1)})


def test_absent_keys_are_absent_and_dashes_become_underscores() -> None:
    table = Table("ListNodes", {"node-prefix": Text(), "limit": LIMIT})
    assert table.read({"node-prefix": Variant("s", "urn:")}) == {"node_prefix": "urn:"}
    assert table.read({}) == {}


def test_keys_that_exclude_each_other() -> None:
    table = Table("GetItems", {"after": Text(), "index": LIMIT, "limit": LIMIT}, exclusive=("after", "index"))
    assert table.read({"after": Variant("s", "a"), "limit": Variant("u", 2)}) == {"after": "a", "limit": 2}
    with pytest.raises(InvalidArgs, match="'after' and 'index' exclude each other"):
        table.read({"index": Variant("u", 1), "after": Variant("s", "a")})
