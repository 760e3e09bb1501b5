"""What a definition accepts, and how it refuses."""

from __future__ import annotations

import msgspec
import pytest

from pubsub_cached.analysers.definition import Definition, Rules, checked, from_mapping
from pubsub_cached.errors import InvalidAnalyser

TICKET = {"name": "ticket", "type": "ticket", "namespace": "urn:example:ticket"}


def test_every_key_of_the_contract_is_known_and_kebab_case():
    assert {field.encode_name for field in msgspec.structs.fields(Rules)} == {
        *("name", "type", "node", "namespace", "node-type", "exact", "to-sync", "demand", "agent", "callbacks"),
        *("bus-name", "fields", "indexes", "kind", "private", "priority", "persist", "version"),
    }


def test_what_is_not_said_has_the_defaults_of_the_contract():
    ticket = from_mapping(TICKET)
    assert (ticket.to_sync, ticket.demand, ticket.exact, ticket.private, ticket.persist) == (False,) * 5
    assert (ticket.kind, ticket.priority, ticket.version) == ("log", 0, 1)
    assert not ticket.has_parser


def test_names_are_lower_case():
    assert from_mapping(TICKET | {"name": " Ticket.Example "}).name == "ticket.example"


def test_keys_come_back_as_json():
    values = TICKET | {"to-sync": True, "fields": {"title": {"path": "{urn:example:ticket}ticket"}}, "version": 3}
    assert msgspec.json.decode(from_mapping(values).to_json()) == values


def test_fields_may_be_json_text_as_on_the_bus():
    ticket = from_mapping(TICKET | {"fields": '{"title": {"path": "{urn:x}ticket", "type": "int"}}'})
    assert ticket.fields["title"].type == "int"
    assert ticket.has_parser


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "'colour': unknown key; there are name, type"),
        ({"node": 5}, "'node': it is a whole number and has to be a string."),
        ({"to-sync": "yes"}, "'to-sync': it is 'yes' and has to be a boolean (true or false)."),
        ({"kind": "heap"}, "'kind': 'heap' is none of log, map, last"),
        ({"kind": "heap - at home"}, "'kind': 'heap - at home' is none of log, map, last"),
        ({"namespace": ""}, "give 'node', 'namespace' or 'node-type'"),
        ({"exact": True}, "'exact' of 'ticket' needs 'node'"),
        ({"demand": True}, "give 'to-sync', too"),
        ({"name": "two words"}, "'name' is 'two words'"),
        ({"name": ""}, "'name' is ''"),
        ({"type": " "}, "'type' of 'ticket' is ' '; give a word"),
        ({"type": "x" * 129}, "of at most 128 characters"),
        ({"version": 0}, "count from 1"),
        ({"priority": 2**31}, "does not fit 32 bits"),
        ({"agent": "no/path", "callbacks": ["parse"]}, "no object path"),
        ({"agent": "/a"}, "needs 'callbacks'"),
        ({"callbacks": ["parse"]}, "need 'agent'"),
        ({"callbacks": ["dance"], "agent": "/a"}, "'callbacks[0]': 'dance' is none of parse, match"),
        ({"bus-name": "org.example"}, "needs 'agent'"),
        ({"bus-name": "nodot", "agent": "/a", "callbacks": ["parse"]}, "no well-known bus name"),
        ({"fields": "[]"}, "'fields' is no object"),
        ({"fields": "{"}, "'fields' is no JSON object"),
        ({"fields": "[" * 50_000}, "'fields' is no JSON object"),
        ({"fields": "[" * 65_537}, "'fields' has 65537 characters; 65536 is the most"),
        ({"indexes": [f"a{number}" for number in range(17)]}, "'indexes' of 'ticket' has 17 paths; 16 is the most"),
        ({"fields": {"a": {"path": "x", "colour": 1}}}, "'fields.a.colour': unknown key; there are path, type, list."),
        ({"fields": {"a": {"path": "x", "y - at z": 1}}}, "'fields.a.y - at z': unknown key"),
        ({"fields": {"a": {}}}, "'fields.a.path': missing"),
        ({"fields": {"a": {"path": "x", "type": "colour"}}}, "'fields.a.type': 'colour' is none of text, int,"),
        ({"fields": {"a": {"path": "x"}}, "agent": "/a", "callbacks": ["parse"]}, "exclude each other"),
        ({"node": "a\x01", "to-sync": True}, "'node' of 'ticket': The character U+0001 in"),
        ({"namespace": "urn:\0"}, "'namespace' of 'ticket': The character U+0000"),
        ({"node-type": "\uffff"}, "'node-type' of 'ticket': The character U+FFFF"),
        ({"indexes": ["a..b"]}, "'indexes' of 'ticket': 'a..b' is no path at character 2."),
        ({"indexes": ["a[*].b"]}, "'indexes' of 'ticket': 'a[*].b' leads to many places"),
        ({"indexes": [""]}, "'indexes' of 'ticket' has ''; a path has 1 to 1000 characters"),
    ],
)
def test_what_can_not_be_used_is_named(change, said):
    with pytest.raises(InvalidAnalyser) as refused:
        from_mapping(TICKET | change)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("name", "x" * 128),
        ("type", "x" * 128),
        ("indexes", [f"a{number}" for number in range(16)]),
        ("fields", '{"a":{"path":"x"}' + " " * (65_536 - 18) + "}"),
    ],
)
def test_as_much_as_there_may_be_is_taken_and_no_more(key, most):
    from_mapping(TICKET | {key: most})
    longer = most + most[:1]
    with pytest.raises(InvalidAnalyser, match=f"'{key}'"):
        from_mapping(TICKET | {key: longer})


def test_a_type_that_can_not_be_written_out_is_refused():
    with pytest.raises(InvalidAnalyser, match="'type' of 'x' is"):
        checked(Definition(name="x", type="a\nb", node="x"))


@pytest.mark.parametrize(
    "keys", [{"fields": {"a": {"path": "x"}}}, {"agent": "/a", "callbacks": ["parse"]}], ids=["fields", "agent"]
)
def test_fields_and_an_agent_that_parses_are_parsers(keys):
    assert from_mapping(TICKET | keys).has_parser


def test_a_parser_of_its_own_comes_before_the_fields():
    def parser(item):
        return {}

    fields = from_mapping(TICKET | {"fields": {"a": {"path": "x"}}}).fields
    assert checked(Definition(name="x", type="x", node="x", fields=fields, parser=parser)).parser is parser


@pytest.mark.parametrize("key", ["name", "type"])
def test_mandatory_keys_are_named_when_missing(key):
    with pytest.raises(InvalidAnalyser, match=f"'{key}': missing"):
        from_mapping({other: value for other, value in TICKET.items() if other != key})


async def later(*arguments):
    return {}


class Later:
    async def __call__(self, item):
        return {}


@pytest.mark.parametrize("parser", [later, Later()])
def test_a_parser_may_be_a_coroutine(parser):
    assert checked(Definition(name="x", type="x", node="x", parser=parser)).deferred
    assert not checked(Definition(name="x", type="x", node="x", parser=lambda item: {})).deferred


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"match": later}, "'match'"),
        ({"parser": later, "takes_over": frozenset({"urn:x"})}, "'takes_over'"),
    ],
)
def test_where_a_coroutine_would_keep_readers_waiting_it_is_refused(keys, named):
    with pytest.raises(InvalidAnalyser, match=named):
        checked(Definition(name="x", type="x", node="x", **keys))


@pytest.mark.parametrize("key", ["parser", "match"])
def test_what_can_t_be_called_is_no_parser(key):
    with pytest.raises(InvalidAnalyser, match=f"'{key}' of 'x' is 'parse'"):
        checked(Definition(name="x", type="x", node="x", **{key: "parse"}))


@pytest.mark.parametrize("parser", [later, lambda item: {}])
def test_a_parser_and_an_agent_that_would_be_suspended_for_each_other_are_refused(parser):
    with pytest.raises(InvalidAnalyser, match="'agent' of 'x' and a parser exclude each other"):
        checked(Definition(name="x", type="x", node="x", agent="/a", callbacks=("match",), parser=parser))


def test_fields_go_together_with_an_agent_that_matches():
    rules = TICKET | {"fields": {"a": {"path": "x"}}, "agent": "/a", "callbacks": ["match"]}
    definition = checked(from_mapping(rules))
    assert (definition.has_parser, definition.deferred) == (True, False)
