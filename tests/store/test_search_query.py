"""The JSON query: what is found is what the contract's words say, and what can't be used is named."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pubsub_cached.address import Address
from pubsub_cached.errors import InvalidArgs, InvalidQuery
from pubsub_cached.store import indexes
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.search import query
from tests.support.stored import publish

from . import naive
from .conftest import ACCOUNT, Database
from .searching import found, ids, left_out, parsed, served, titled

# Few names and values, so that clauses meet what is there.
NAMES = st.sampled_from(["a", "b", "c.d", "é"])
SCALARS = st.sampled_from(
    [
        "",
        "a",
        "A",
        "b%",
        "ß",
        "É",
        "δΣ",
        "δσδ",
        "δς",
        "x_y",
        "[a]*?",
        "2026-01-01",
        0,
        1,
        2,
        1.5,
        2**70,
        True,
        False,
        None,
    ]
)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
OBJECTS = st.dictionaries(NAMES, DATA, max_size=3)
STEPS = st.sampled_from(["a", "b", "é", '["c.d"]', "[0]", "[1]", "[*]"])
PATTERNS = st.text(alphabet="aAbÉßδΣς\u03c3xy%_[]*?", max_size=4) | st.sampled_from(
    ["b\\%", "x\\_y", "%\\\\%", "[a]*?"]
)
ORDERED = SCALARS.filter(lambda value: isinstance(value, str | int | float) and not isinstance(value, bool))


def path(steps: list[str]) -> str:
    return "".join(step if step[0] == "[" or not number else f".{step}" for number, step in enumerate(steps))


PATHS = st.lists(STEPS, min_size=1, max_size=3).map(path)
LISTS = st.lists(SCALARS, max_size=3)
RANGES = st.tuples(ORDERED, ORDERED).filter(lambda ends: isinstance(ends[0], str) is isinstance(ends[1], str)).map(list)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("=", "!="), SCALARS),
    **dict.fromkeys(("<", "<=", ">", ">="), ORDERED),
    "between": RANGES,
    **dict.fromkeys(("in", "not-in", "overlap", "disjoint", "ioverlap", "idisjoint"), LISTS),
    **dict.fromkeys(("like", "ilike", "not-like", "not-ilike"), PATTERNS),
    "exists": st.booleans(),
}
TESTS = st.sampled_from(sorted(VALUES)).flatmap(
    lambda operator: st.tuples(PATHS, st.just(operator), VALUES[operator]).map(list)
)
CLAUSES = st.recursive(
    TESTS,
    lambda inner: (
        st.fixed_dictionaries({"not": inner}) | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=4,
)


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.lists(CLAUSES, min_size=1, max_size=3), st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_clauses_hold_where_python_says_so(
    shared: Database, objects: list[Any], clauses: list[Any], indexed: bool
) -> None:
    if left_out(shared, objects, clauses):
        return
    # With and without an index on a path, of which the answer must not depend.
    shared.write(indexes.keep, ["a", "b", '["c.d"]'] if indexed else [])
    node = served(shared, json.dumps([objects, clauses, indexed]))
    shared.write(publish, node.id, [parsed(str(number), data) for number, data in enumerate(objects)])
    expected = [str(n) for n, data in enumerate(objects) if all(naive.holds(clause, data) for clause in clauses)]
    assert sorted(ids(shared, wanted={"nodes": [node.address.node], "where": clauses})) == expected
    everywhere = ids(shared, wanted={"where": clauses, "services": [node.address.service]}, limit=100_000)
    assert len(everywhere) >= len(expected)
    shared.write(nodes.forget, node.id)


# A value of each kind, and of each operator some that tell them apart.
KINDS = (None, True, False, 0, 1, 1.5, 2, 15, "", "1", "a", "A", [], [1, "a"], ["A", True], [[1]], {"a": 1})
LISTS_OF_KINDS: tuple[Any, ...] = ([], [1], ["a"], [True], [None], [False, "1", 2], [1.5, 1, 15], [0, None, "A"])
CASES: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("=", "!="): (None, True, False, 0, 1, 1.5, "", "1", "a", "[]"),
    ("<", "<=", ">", ">="): (0, 1, 1.5, "", "1", "a"),
    ("between",): ([0, 1], [1, 1.5], [1.5, 2], [2, 1.5], ["", "a"], ["1", "A"]),
    ("in", "not-in", "overlap", "disjoint", "ioverlap", "idisjoint"): LISTS_OF_KINDS,
    ("like", "ilike", "not-like", "not-ilike"): ("", "%", "1%", "A", "%a%", "_"),
    ("exists",): (True, False),
}


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "plain"])
def test_each_operator_holds_of_each_kind_of_value_where_python_says_so(db: Database, indexed: bool) -> None:
    objects: list[Any] = [{}, *({"p": value} for value in KINDS)]
    db.write(indexes.keep, ["p"] if indexed else [])
    db.write(publish, served(db).id, [parsed(str(number), data) for number, data in enumerate(objects)])
    tests = [test for operators, values in CASES.items() for test in product(operators, values)]
    for clause in ([path, *test] for path in ("p", "p[*]") for test in tests):
        expected = {str(number) for number, data in enumerate(objects) if naive.holds(clause, data)}
        assert {*ids(db, wanted={"where": [clause]})} == expected, clause


def test_a_missing_path_matches_only_that_it_is_missing(db: Database) -> None:
    node = served(db)
    db.write(publish, node.id, [parsed("none"), parsed("empty", {}), parsed("there", {"p": 1})])
    for operator, value in [("=", 2), ("!=", 2), ("<", 0), ("not-in", [2]), ("not-like", "x"), ("disjoint", [2])]:
        expected = ["there"] if operator.startswith(("!", "not", "dis")) else []
        assert ids(db, wanted={"where": [["p", operator, value]]}) == expected
        inverted = ids(db, wanted={"where": [{"not": ["p", operator, value]}]})
        assert sorted([*inverted, *expected]) == ["empty", "none", "there"]
    assert sorted(ids(db, wanted={"where": [["p", "exists", False]]})) == ["empty", "none"]


def test_numbers_that_the_database_has_no_integers_for(db: Database) -> None:
    db.write(publish, served(db).id, [parsed(id_, {"n": n}) for id_, n in (("most", 2**63 - 1), ("more", 2**64))])
    for clause in (["n", ">", 2**63], ["n", ">", 2.0**63], ["n", "in", [2**64]], ["n", "=", 2.0**64]):
        assert ids(db, wanted={"where": [clause]}) == ["more"]
    assert ids(db, wanted={"where": [["n", "<=", 2**63 - 1]]}) == ["most"]
    assert ids(db, wanted={"where": [["n", "<", -(2**63) - 1]]}) == []


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("ilike", "ΟΔΥΣ%", ["begins"]),
        ("ilike", "%ΟΣ%", ["ends"]),
        ("ilike", "%μοσ", ["ends"]),
        ("not-ilike", "ΟΔΥΣ%", ["ends"]),
        ("ioverlap", ["ΝΌΜΟΣ", "ΟΔΥΣ"], ["ends"]),
        ("ioverlap", ["νόμοσ"], ["ends"]),
    ],
)
def test_a_sigma_is_one_letter_wherever_it_stands(
    db: Database, operator: str, value: object, expected: list[str]
) -> None:
    titled(db, served(db), begins="Οδυσσέας", ends="Νόμος")
    assert ids(db, wanted={"where": [["title", operator, value]]}) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "abcde"),
        ({"types": []}, "abcde"),
        ({"types": ["blog"]}, "abd"),
        ({"types": ["blog", "event"]}, "abcd"),
        ({"subtypes": ["feed"]}, "a"),
        ({"subtypes": [None]}, "ce"),
        ({"subtypes": [None, "feed"]}, "ace"),
        ({"ids": ["a", "e", "no"]}, "ae"),
        ({"nodes": ["two"]}, "de"),
        ({"services": ["pubsub.example.org"]}, "abcd"),
        ({"services": [""]}, "e"),
        ({"services": ["", "pubsub.example.org"], "nodes": ["one"]}, "abc"),
        ({"accounts": [ACCOUNT]}, "abcde"),
        ({"accounts": ["bob@example.org"]}, ""),
        ({"flags": ["read"]}, "ad"),
        ({"flags": ["-read"]}, "bce"),
        ({"flags": ["starred", "-read"]}, "b"),
        ({"flags": ["star"]}, ""),
        ({"types": ["blog"], "flags": ["-read"], "where": [["n", "=", 2]]}, "b"),
    ],
)
def test_lists_constrain(db: Database, wanted: dict[str, Any], expected: str) -> None:
    one, two = served(db, "one"), served(db, "two")
    own = served(db, "two", service=ACCOUNT)
    blog = {"type": "blog", "subtype": "microblog"}
    first = [
        parsed("a", {"n": 1}, type="blog", subtype="feed"),
        parsed("b", {"n": 2}, **blog),
        parsed("c", {"n": 2}, type="event"),
    ]
    db.write(publish, one.id, first)
    db.write(publish, two.id, [parsed("d", {}, **blog)])
    db.write(publish, own.id, [parsed("e")])
    db.write(items.set_flags, one.address, ["a", "b"], ["starred"], [])
    db.write(items.set_flags, one.address, ["a"], ["read"], [])
    db.write(items.set_flags, two.address, ["d"], ["read"], [])
    assert sorted(ids(db, wanted=wanted)) == sorted(expected)


def test_the_own_service_is_each_accounts_own(db: Database) -> None:
    bob = "bob@example.org"
    db.write(accounts.ensure, bob)
    for id_, account, service in [("a", ACCOUNT, ACCOUNT), ("b", bob, bob), ("c", ACCOUNT, bob), ("d", bob, ACCOUNT)]:
        db.write(publish, served(db, service=service, account=account).id, [parsed(id_)])
    assert sorted(ids(db, wanted={"services": [""]})) == ["a", "b"]
    assert ids(db, wanted={"services": [""], "accounts": [bob]}) == ["b"]
    assert sorted(ids(db, wanted={"services": ["", bob]})) == ["a", "b", "c"]


def test_a_query_names_the_nodes_whose_items_it_finds() -> None:
    own, other = Address(ACCOUNT, ACCOUNT, "one"), Address(ACCOUNT, "pubsub.example.org", "two")
    for wanted, named in [
        ({}, [own, other]),
        ({"accounts": [ACCOUNT], "types": ["blog"]}, [own, other]),
        ({"accounts": ["bob@example.org"]}, []),
        ({"services": [""]}, [own]),
        ({"services": ["", "pubsub.example.org"]}, [own, other]),
        ({"services": ["pubsub.example.org"]}, [other]),
        ({"services": ["pubsub.example.org"], "nodes": ["one"]}, []),
        ({"nodes": ["one"]}, [own]),
    ]:
        asked = query.parse(json.dumps(wanted))
        assert [address for address in (own, other) if asked.names(address)] == named


def test_items_that_may_not_be_served_never_appear(db: Database) -> None:
    for state in ("unknown", "discovered", "denied", "gone", "excluded"):
        db.write(publish, served(db, state, state=state).id, [parsed(state, {"title": "hidden"})])
    db.write(publish, served(db, "none", completeness="none").id, [parsed("none", {"title": "hidden"})])
    db.write(accounts.ensure, "bob@example.org")
    removed = served(db, account="bob@example.org")
    db.write(publish, removed.id, [parsed("removed", {"title": "hidden"})])
    db.write(accounts.remove, "bob@example.org", True)
    assert ids(db, "hidden") == ids(db) == []
    assert ids(db, wanted={"nodes": ["denied"]}) == ids(db, wanted={"ids": ["gone", "removed"]}) == []
    db.write(publish, served(db, "window", completeness="window", state="stale").id, [parsed("seen")])
    assert ids(db) == ["seen"]


def test_a_record_says_where_the_item_is(db: Database) -> None:
    node = served(db)
    db.write(publish, node.id, [parsed("x y", {"title": "T"}, type="blog", publisher="bob@example.org")])
    (record,) = found(db).items
    assert record["key"] == Address(*node.address).key("x y")
    assert (record["account"], record["service"], record["node"]) == tuple(node.address)
    assert record["uri"] == node.address.uri("x y")
    assert record["data"] == '{"title": "T"}'
    assert found(db, fields=frozenset({"node", "type"})).items == [{"node": "blog", "type": "blog"}]
    assert [*found(db, fields=frozenset({"key"})).items[0]] == ["key"]


INVALID = {
    "[]": "The query is [] and has to be a JSON object",
    "{": "The query is no JSON",
    '{"type":[]}': "'type' is no key of a query; there are accounts, ",
    '{"types":"blog"}': 'types is "blog" and has to be a list',
    '{"types":[null]}': "types[0] is null and has to be a string",
    '{"subtypes":[1]}': "subtypes[0] is 1",
    '{"flags":["a","-a"]}': "flags[1] is '-a'",
    '{"flags":["-"]}': "flags[0] is '-'",
    '{"flags":["read","Starred"]}': "flags[1] is 'Starred', which names no flag; one begins with a-z",
    '{"flags":["--read"]}': "flags[0] is '--read'",
    '{"where":[1]}': "where[0] is 1; a clause is",
    '{"where":[{}]}': "where[0] is {}",
    '{"where":[["a","="]]}': "where[0] has 2 parts",
    '{"where":[[1,"=",1]]}': "where[0] has the path 1",
    '{"where":[["","=",1]]}': "where[0]: a path is empty",
    '{"where":[["a..b","=",1]]}': "where[0]: 'a..b' is no path at character 2",
    '{"where":[["a[0]b","=",1]]}': "where[0]: 'a[0]b' is no path at character 5",
    '{"where":[["a[\\"\\\\\\"\\"]","=",1]]}': 'where[0]: \'a["\\""]\' has a key with a quote',
    '{"where":[["a[*][*][*][*][*]","=",1]]}': "has [*] 5 times, and 4 is the most",
    '{"where":[["a%s","=",1]]}' % ("[0]" * 32): "where[0]: a path has 33 steps",
    '{"where":[["a","~",1]]}': 'where[0] has the operator "~"; it may be =, !=',
    '{"where":[["a","=",[]]]}': "where[0]: the value of '=' is [] and has to be a string, a number",
    '{"where":[["a","<",true]]}': "where[0]: the value of '<' is true",
    '{"where":[["a",">",1%s]]}' % ("0" * 309): "where[0]: the value of '>' is 1000",
    '{"where":[["a","between",[1]]]}': "where[0]: the value of 'between' is [1]",
    '{"where":[["a","between",[1,"b"]]]}': "both have to be strings, or both numbers",
    '{"where":[["a","between",["b",1]]]}': "both have to be strings, or both numbers",
    '{"where":[["a","in",1]]}': "where[0]: the value of 'in' is 1 and has to be a list",
    '{"where":[["a","in",[[]]]]}': "where[0]: the value of 'in' is []",
    '{"where":[["a","like",1]]}': "where[0]: the value of 'like' is 1",
    '{"where":[["a","like","x\\\\"]]}': "stands before nothing",
    '{"where":[["a","exists",1]]}': "where[0]: the value of 'exists' is 1",
    '{"where":[{"all":[]}]}': "where[0] has 'all'",
    '{"where":[{"any":[]}]}': "where[0].any is []",
    '{"where":[{"any":1}]}': "where[0].any is 1",
    '{"where":[["a",[],1]]}': "where[0] has the operator []",
    '{"where":[["a","<",null]]}': "where[0]: the value of '<' is null",
    '{"where":[["a","between",1]]}': "where[0]: the value of 'between' is 1",
    '{"where":[["a","=",1],{"any":[["b","=",1],{"not":["c","is",1]}]}]}': "where[1].any[1].not has the operator",
}


@pytest.mark.parametrize("text", INVALID)
def test_what_can_not_be_used_is_named(text: str) -> None:
    with pytest.raises(InvalidQuery) as raised:
        query.parse(text)
    assert INVALID[text] in raised.value.message
    assert raised.value.message.endswith(".")


def test_limits_of_a_query() -> None:
    clause = ["a", "=", 1]
    assert query.parse(" ") == query.parse("{}")
    assert len(query.parse(json.dumps({"where": [clause] * 32})).where) == 32
    with pytest.raises(InvalidQuery, match=r"where\[32\] is one clause too many; 32"):
        query.parse(json.dumps({"where": [clause] * 33}))
    nested: Any = clause
    for _ in range(8):
        nested = {"not": nested}
    query.parse(json.dumps({"where": [nested]}))
    with pytest.raises(InvalidQuery, match="is nested 9 deep, and 8 is the most"):
        query.parse(json.dumps({"where": [{"any": [nested]}]}))
    with pytest.raises(InvalidQuery, match="10013 characters, and 10000"):
        query.parse(json.dumps({"ids": ["x" * 10_000]}))
    with pytest.raises(InvalidQuery):
        query.parse("[" * 9000)
    with pytest.raises(InvalidQuery, match="flags has 65 names, and 64 is the most"):
        query.parse(json.dumps({"flags": [f"f{number}" for number in range(65)]}))


def test_limits_of_an_order() -> None:
    keys = [f"data.a{number}" for number in range(17)]
    assert len(query.parse_order(",".join(keys[:16]))) == 16
    with pytest.raises(InvalidArgs, match="The option 'order' names 17 keys, and 16 is the most"):
        query.parse_order(",".join(keys))
    with pytest.raises(InvalidArgs, match="The option 'order' has 10001 characters, and 10000 is the most"):
        query.parse_order("data." + "a" * 9996)


def test_everything_at_its_limit_can_be_asked(db: Database) -> None:
    node = served(db)
    db.write(publish, node.id, [parsed("a", {"a": [{"b": 1}]})])
    clause: Any = {"any": [["a[*].b", "=", number] for number in range(32)]}
    for _ in range(6):
        clause = {"not": clause}
    assert ids(db, wanted={"where": [clause]}) == ["a"]
    stars: Any = {"any": [["a" + "[*]" * 4, "overlap", [number]] for number in range(32)]}
    for _ in range(7):
        stars = {"not": stars}
    assert ids(db, wanted={"where": [stars]}) == ["a"]
    assert ids(db, wanted={"ids": [f"{number}" for number in range(1200)]}) == []
    flags = [f"-f{number}" for number in range(64)]
    order = ",".join(f"data.a{number}" for number in range(16))
    assert ids(db, wanted={"flags": flags, "where": [stars]}, order=order) == ["a"]


@pytest.mark.parametrize("order", ["published", "data.", "data.a[*]", "modified up", "id, id desc", "", "rank,,id"])
def test_an_order_that_can_not_be_used(order: str) -> None:
    with pytest.raises(InvalidArgs, match="The option 'order'"):
        query.parse_order(order)


@pytest.mark.parametrize("direction", ["DESC", "Asc", "descending", "ascending"])
def test_a_direction_that_is_written_otherwise_is_not_taken_for_a_part_of_the_path(direction: str) -> None:
    with pytest.raises(InvalidArgs) as raised:
        query.parse_order(f"id, data.start {direction}")
    assert raised.value.message == f"The option 'order' has 'data.start {direction}'; a direction is asc or desc."
    assert query.parse_order(f'data["start {direction}"]') == query.parse_order(f'data["start {direction}"] asc')
