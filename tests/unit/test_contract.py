"""The files in ``interfaces/`` and the classes of ``api`` say the same, and everything is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pubsub_cached
from manual.contract import EMITS, QT_TYPE, Argument, Contract, Member, contracts
from pubsub_cached import api, errors
from pubsub_cached.api.fields import FieldsTable
from pubsub_cached.bus import Interface
from pubsub_cached.records import AFFILIATION, ANALYSER, DISCOVERED, INFO, ITEM, NODE, STATISTICS, SUBSCRIPTION

CONTRACTS = contracts()
# What clients implement and the daemon calls.
OF_CLIENTS = {"im.pubsubcache1.AnalyserAgent"}
SERVED = [contract for contract in CONTRACTS if contract.name not in OF_CLIENTS]
PACKAGE = Path(pubsub_cached.__file__).parent

RECORDS = {
    ("GetItems", "items"): ITEM,
    ("GetItems", "info"): INFO,
    ("Search", "items"): ITEM,
    ("Search", "info"): INFO,
    ("GetRange", "items"): ITEM,
    ("Added", "items"): ITEM,
    ("Changed", "items"): ITEM,
    ("GetNode", "record"): NODE,
    ("ListNodes", "nodes"): NODE,
    ("List", "analysers"): ANALYSER,
    ("GetStatistics", "statistics"): STATISTICS,
    ("ListSubscriptions", "subscriptions"): SUBSCRIPTION,
    ("ListAffiliations", "affiliations"): AFFILIATION,
    ("Discover", "entries"): DISCOVERED,
}
# Keys that a record may have and these members never give.
NOT_GIVEN = {
    ("GetItems", "items"): {"key", "account", "service", "node", "snippet", "index"},
    ("GetItems", "info"): {"ranked"},
    ("Search", "items"): {"pending", "index"},
    ("GetRange", "items"): {"pending"},
    ("Added", "items"): {"pending"},
    ("Changed", "items"): {"pending"},
    ("Search", "info"): {"first", "last", "index", "job"},
}


def classes() -> dict[str, type[Any]]:
    """The classes of ``api`` by the name of their interface."""
    found = {}
    for module in pkgutil.iter_modules(api.__path__, f"{api.__name__}."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(value, Interface) and "name" in vars(value) and value.__module__ == module.name:
                found[value.name] = value
    return found


CLASSES = classes()


def members() -> list[tuple[Contract, Member]]:
    return [(contract, member) for contract in CONTRACTS for member in contract.members]


def arguments() -> list[tuple[Contract, Member, Argument]]:
    return [(contract, member, argument) for contract, member in members() for argument in member.arguments]


def name(value: object) -> str:
    return value.name if isinstance(value, Argument) else str(value)


def records(direction: str) -> list[Any]:
    return [
        pytest.param(*found, id="-".join(map(name, found)))
        for found in arguments()
        if found[2].type in ("a{sv}", "aa{sv}") and found[2].direction == direction
    ]


def test_each_file_has_a_class_and_each_class_a_file() -> None:
    assert sorted(contract.name for contract in SERVED) == sorted(CLASSES)
    assert all(contract.file.stem == contract.name for contract in CONTRACTS)


# What the code has


@pytest.mark.parametrize("contract", SERVED, ids=name)
def test_each_method_and_property_has_a_handler_and_nothing_else_has(contract: Contract) -> None:
    class_ = CLASSES[contract.name]
    public = {name for name in vars(class_) if name[0].isupper()}
    assert public == contract.of("method").keys() | contract.of("property").keys()
    writable = {name for name, member in contract.of("property").items() if "write" in member.access}
    assert {name.removeprefix("set_") for name in vars(class_) if name.startswith("set_")} == writable


@pytest.mark.parametrize("contract", SERVED, ids=name)
def test_each_handler_takes_the_arguments_of_the_file(contract: Contract) -> None:
    for member in contract.of("method").values():
        parameters = list(inspect.signature(getattr(CLASSES[contract.name], member.name)).parameters)
        assert parameters[1:] == [argument.name for argument in member.arguments if argument.direction == "in"]
    for member in contract.of("property").values():
        assert isinstance(vars(CLASSES[contract.name])[member.name], property)


def test_each_signal_is_emitted_and_no_other() -> None:
    emitted = {
        call.args[0].value
        for file in (PACKAGE / "api").glob("*.py")
        for call in calls(file)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "emit" and isinstance(call.args[0], ast.Constant)
    }
    assert emitted == {member.name for _, member in members() if member.kind == "signal"}


# Options and records


@pytest.mark.parametrize(("contract", "member", "argument"), records("in"))
def test_options_of_the_code_are_those_of_the_file(contract: Contract, member: Member, argument: Argument) -> None:
    table = CLASSES[contract.name].options[member.name]
    assert table.method == member.name
    assert {key: option.signature for key, option in table.options.items()} == (
        contract.keys(member.name, argument.name) or {}
    )
    if isinstance(table, FieldsTable):
        begin = f"begin with {table.prefix}" if table.prefix else "hold a #"
        assert f"that {begin}" in f"{argument.text} {member.doc.text}"
    elif not table.options:
        assert argument.text == "No key is known."


@pytest.mark.parametrize("contract", SERVED, ids=name)
def test_every_table_of_options_belongs_to_a_method(contract: Contract) -> None:
    taking = {
        member.name
        for member in contract.of("method").values()
        for argument in member.arguments
        if argument.type == "a{sv}" and argument.direction == "in"
    }
    assert CLASSES[contract.name].options.keys() == taking


@pytest.mark.parametrize(("contract", "member", "argument"), records("out"))
def test_keys_of_records_are_documented(contract: Contract, member: Member, argument: Argument) -> None:
    documented = contract.keys(member.name, argument.name)
    if (member.name, argument.name) == ("GetNodeConfig", "config"):
        assert documented is None, "its keys are the service's"
        assert "One key per field" in argument.text
        return
    if (member.name, argument.name) == ("Match", "why"):
        assert documented is None, "its keys are names of analysers"
        assert "One key per analyser" in argument.text
        return
    table = dict(RECORDS[member.name, argument.name])
    for key in NOT_GIVEN.get((member.name, argument.name), ()):
        del table[key]
    assert documented == table


# Documentation


@pytest.mark.parametrize(("contract", "member"), members(), ids=name)
def test_each_member_is_documented(contract: Contract, member: Member) -> None:
    assert member.doc.text
    assert not member.doc.unread
    described = {argument.name for argument in member.arguments if argument.text}
    assert described == {argument.name for argument in member.arguments}
    assert set(member.doc.arguments) <= described


@pytest.mark.parametrize("contract", CONTRACTS, ids=name)
def test_each_interface_is_documented(contract: Contract) -> None:
    assert contract.doc.text
    assert contract.doc.arguments["short_description"]
    assert not contract.doc.unread


def test_documented_errors_exist() -> None:
    known = {class_.dbus_name.removeprefix(errors.PREFIX).rpartition(".")[2] for class_ in error_classes()}
    for contract in CONTRACTS:
        for doc in (contract.doc, *(member.doc for member in contract.members)):
            assert doc.errors.keys() <= known | {"Xmpp.CONDITION", "PubSub.CONDITION"}


def test_each_error_that_is_raised_is_documented() -> None:
    texts = "".join(contract.file.read_text() for contract in CONTRACTS)
    by_class = {class_.__name__: class_.dbus_name.rpartition(".")[2] for class_ in error_classes()}
    by_class["StanzaError"] = "Xmpp.CONDITION"
    raised = {
        by_class[called]
        for part in ("analysers", "api", "bus", "cache", "store", "xmpp")
        for file in (PACKAGE / part).rglob("*.py")
        for call in calls(file)
        if (called := called_name(call)) in by_class
    }
    assert {"InvalidArgs", "NoSuchNode"} <= raised
    assert {error for error in raised if error not in texts} == set()


# Annotations


@pytest.mark.parametrize(("contract", "member"), members(), ids=name)
def test_dictionaries_have_a_type_for_qt(contract: Contract, member: Member) -> None:
    wanted = {}
    for argument in member.arguments:
        if argument.type in ("a{sv}", "aa{sv}"):
            type_ = "QVariantMap" if argument.type == "a{sv}" else "QList<QVariantMap>"
            wanted[f"{QT_TYPE}.{argument.direction.capitalize()}{argument.number}"] = type_
    assert {key: value for key, value in member.annotations.items() if key.startswith(QT_TYPE)} == wanted


@pytest.mark.parametrize(("contract", "member"), members(), ids=name)
def test_c_that_gdbus_codegen_makes_of_it_can_pass_descriptors(contract: Contract, member: Member) -> None:
    """Without the annotation the functions take and give a number that leads nowhere."""
    descriptors = any(argument.type == "h" for argument in member.arguments)
    assert (member.annotations.get("org.gtk.GDBus.C.UnixFD") == "true") == descriptors


@pytest.mark.parametrize(("contract", "member"), members(), ids=name)
def test_each_property_says_whether_its_change_is_signalled(contract: Contract, member: Member) -> None:
    assert (member.annotations.get(EMITS) in ("true", "const", "false")) == (member.kind == "property")


@pytest.mark.parametrize(("contract", "member"), members(), ids=name)
def test_no_type_is_nested(contract: Contract, member: Member) -> None:
    types = [member.type] if member.kind == "property" else [argument.type for argument in member.arguments]
    assert set(types) <= {*"sbuxtqiodh", "as", "ao", "a{sv}", "aa{sv}"}


def error_classes() -> Iterator[type[errors.PubSubCachedError]]:
    for _, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, errors.PubSubCachedError):
            yield value


def calls(file: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield node


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


# Who may call


@pytest.mark.parametrize("contract", [each for each in SERVED if each.name.startswith("im.")], ids=name)
def test_each_file_says_what_sandboxed_clients_may_call(contract: Contract) -> None:
    methods = contract.of("method").keys()
    said = re.search(r"Sandboxed clients may call ([^.]+)\.", contract.file.read_text().replace("\n    ", " "))
    assert said is not None
    named = {"every method": methods, "no method": set()}.get(said[1], set(re.findall(r"\w+", said[1])) - {"and"})
    assert CLASSES[contract.name].sandboxed == named
    assert CLASSES[contract.name].sandboxed <= methods
