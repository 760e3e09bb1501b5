"""Which analyser a node has, who may register what, and what becomes of items."""

from __future__ import annotations

import logging

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.analysers import builtin
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.registry import ItemContext, Registry, Subject
from pubsub_cached.errors import Conflict, InvalidAnalyser, NotRegistered

OWN = "me@example.org"


def made(name, **keys):
    return Definition(name=name, type=keys.pop("type", "thing"), **keys)


def subject(node="n", namespace=None, node_type=None, service="pubsub.example.org"):
    return Subject(Address(OWN, service, node), namespace, node_type)


def context(payload, namespace="urn:x", node="n", publisher=""):
    return ItemContext(Address(OWN, "pubsub.example.org", node), "1", payload, namespace, publisher)


@pytest.fixture
def registry():
    return Registry()


def name_of(matched):
    return matched.definition.name if matched.definition else None


class TestMatching:
    def test_any_selector_that_fits_suffices(self, registry):
        registry.register(made("a", node="blog/", namespace="urn:x", node_type="urn:t"))
        assert name_of(registry.match(subject("blog/1"))) == "a"
        assert name_of(registry.match(subject("q", namespace="urn:x"))) == "a"
        assert name_of(registry.match(subject("q", node_type="urn:t"))) == "a"
        assert name_of(registry.match(subject("q", namespace="urn:y", node_type="urn:z"))) is None

    def test_exact_means_the_whole_name(self, registry):
        registry.register(made("a", node="blog", exact=True))
        assert name_of(registry.match(subject("blog"))) == "a"
        assert name_of(registry.match(subject("blog/1"))) is None

    def test_the_most_specific_wins_whatever_the_order_of_registration(self, registry):
        registry.register(made("e-namespace", namespace="urn:x"))
        registry.register(made("d-type", node_type="urn:t"))
        registry.register(made("c-short", node="a"))
        registry.register(made("b-long", node="a/b"))
        registry.register(made("a-exact", node="a/b", exact=True))
        order = []
        for _ in range(5):
            winner = name_of(registry.match(subject("a/b", "urn:x", "urn:t")))
            order.append(winner)
            registry.unregister(winner)
        assert order == ["a-exact", "b-long", "c-short", "d-type", "e-namespace"]

    def test_priority_comes_before_specificity_and_the_name_decides_last(self, registry):
        registry.register(made("b", namespace="urn:x", priority=1))
        registry.register(made("a", namespace="urn:x", priority=1))
        registry.register(made("exact", node="n", exact=True))
        assert name_of(registry.match(subject("n", "urn:x"))) == "a"

    def test_the_nodes_type_beats_the_payloads_namespace(self, registry):
        registry.register(made("bookmarks", namespace="urn:xmpp:bookmarks:1"))
        registry.register(made("spaces", node_type="urn:xmpp:spaces:0"))
        known = subject("s", "urn:xmpp:bookmarks:1", "urn:xmpp:spaces:0")
        assert name_of(registry.match(known)) == "spaces"

    def test_own_nodes_only(self, registry):
        registry.register(made("mine", node="n", own=True))
        assert name_of(registry.match(subject("n"))) is None
        assert name_of(registry.match(subject("n", service=OWN))) == "mine"

    def test_every_analyser_says_why(self, registry):
        registry.register(made("hit", node="n", priority=2))
        registry.register(made("second", namespace="urn:x"))
        registry.register(made("missed", node="q", exact=True, node_type="urn:t"))
        registry.register_invalid("broken", "line 3 is no TOML", "file")
        assert registry.match(subject("n", "urn:x")).why == {
            "hit": "The node begins with 'n'.",
            "second": "The payload's namespace is 'urn:x'. 'hit' comes before it.",
            "missed": "No match: the node is not 'q'; pubsub#type is unknown, not 'urn:t'.",
            "broken": "It can't be used: line 3 is no TOML",
        }

    def test_of_each_selector_that_missed_is_said_what_the_node_has_instead(self, registry):
        registry.register(made("any", node="q", node_type="urn:t", namespace="urn:y"))
        registry.register(made("payload", namespace="urn:y"))
        bare, known = (registry.match(each).why for each in (subject("n"), subject("n", "urn:x", "urn:s")))
        node = "No match: the node does not begin with 'q'"
        assert bare == {
            "any": f"{node}; pubsub#type is unknown, not 'urn:t'; the payload's namespace is unknown, not 'urn:y'.",
            "payload": "No match: the payload's namespace is unknown, not 'urn:y'.",
        }
        assert known == {
            "any": f"{node}; pubsub#type is 'urn:s', not 'urn:t'; the payload's namespace is 'urn:x', not 'urn:y'.",
            "payload": "No match: the payload's namespace is 'urn:x', not 'urn:y'.",
        }

    def test_the_match_callable_may_change_the_analysis(self, registry):
        def sharpen(known, analysis):
            analysis.type, analysis.subtype, analysis.to_sync = "special", known.node_type, True

        registry.register(made("a", node="n", match=sharpen))
        matched = registry.match(subject("n", node_type="sub"))
        assert (matched.type, matched.subtype, matched.to_sync) == ("special", "sub", True)

    @pytest.mark.parametrize("error", [RuntimeError, SystemExit])
    def test_a_match_callable_that_fails_leaves_the_node_unsynchronised(self, registry, error):
        def fail(known, analysis):
            raise error("boom")

        registry.register(made("a", node="n", to_sync=True, match=fail))
        matched = registry.match(subject("n"))
        assert name_of(matched) == "a"
        assert not matched.to_sync
        assert "boom" in matched.why["a"]


class TestExcluded:
    def test_nothing_overrules_an_exclusion(self):
        registry = builtin.registry()
        registry.register(made("nosy", node="urn:xmpp:omemo:2:bundles", exact=True, priority=1000, to_sync=True), "bus")
        matched = registry.match(subject("urn:xmpp:omemo:2:bundles"))
        assert matched.excluded
        assert not matched.to_sync

    @pytest.mark.parametrize(
        "node",
        [
            "urn:xmpp:openpgp:0:secret-key",
            "urn:xmpp:omemo:2:devices",
            "urn:xmpp:omemo:2:bundles",
            "urn:xmpp:omemo:1:devices",
            "eu.siacs.conversations.axolotl.devicelist",
            "eu.siacs.conversations.axolotl.bundles:31415",
            "storage:bookmarks",
            "storage:rosternotes",
            "urn:xmpp:mds:displayed:0",
            "urn:xmpp:contacts",
            "urn:xmpp:contacts-groups",
        ],
    )
    def test_secret_and_messenger_nodes_are_excluded(self, node):
        matched = builtin.registry().match(subject(node, service=OWN))
        assert matched.excluded
        assert not matched.to_sync

    @pytest.mark.parametrize("node", ["urn:xmpp:openpgp:0:public-keys", "urn:xmpp:contacts-of-mine", "storage"])
    def test_their_neighbours_are_not(self, node):
        assert not builtin.registry().match(subject(node, service=OWN)).excluded

    def test_their_items_pass_through_unread(self):
        parsed = builtin.registry().parse("omemo", context("<not xml", node="urn:xmpp:omemo:2:devices"))
        assert parsed.payload == "<not xml"
        assert (parsed.data, parsed.type, parsed.errors) == (None, "", ())


class TestRegistering:
    def test_a_taken_name_is_a_conflict_that_names_the_holder(self, registry):
        registry.register(made("a", node="n"))
        for origin in ("builtin", "plugin", "file", "bus"):
            with pytest.raises(Conflict, match="'a' is taken by the daemon itself"):
                registry.register(made("A", node="m"), origin)

    def test_on_the_bus_the_owner_replaces_its_own_and_a_name_without_one_is_free(self, registry):
        registry.register(made("a", node="n"), "bus", ":1.5")
        registry.register(made("a", node="m"), "bus", ":1.5")
        assert registry.get("a").node == "m"
        with pytest.raises(Conflict, match=r"taken by :1\.5"):
            registry.register(made("a", node="o"), "bus", ":1.6")
        registry.register(made("b", node="n", persist=True), "bus", "")
        registry.register(made("b", node="m"), "bus", ":1.6")
        assert registry.get("b").node == "m"

    @pytest.mark.parametrize("origin", ["plugin", "file"])
    def test_what_a_client_left_behind_is_no_files_and_no_plugins_to_replace(self, registry, origin):
        registry.register(made("a", node="n", persist=True), "bus", "")
        with pytest.raises(Conflict, match="taken by a client, until somebody unregisters it"):
            registry.register(made("a", node="m"), origin)
        assert registry.get("a").node == "n"

    def test_how_an_analyser_is_is_told_once_it_has_changed(self, registry):
        registry.register(made("a", node="n"))
        told, usable = [], []
        registry.on_state.append(told.append)
        registry.on_usable.append(usable.append)
        registry.set_state("gone", "suspended")
        for state in ("active", "waiting", "suspended", "suspended", "active", "active"):
            registry.set_state("a", state)
        registry.set_state("a", "active", failures=1)
        assert (told, usable, registry.entry("a").resumed) == (["a"] * 4, ["a"], 1)

    def test_a_definition_is_checked(self, registry):
        with pytest.raises(InvalidAnalyser):
            registry.register(made("a"))

    def test_unregistering_an_unknown_name(self, registry):
        with pytest.raises(NotRegistered, match="'a'"):
            registry.unregister("a")

    def test_changes_are_told(self, registry):
        told = []
        registry.on_change.append(lambda name, registered: told.append((name, registered)))
        registry.register(made("A", node="n"))
        registry.unregister("a")
        assert told == [("a", True), ("a", False)]

    def test_a_broken_file_is_listed_and_gives_way_to_a_working_definition(self, registry):
        registry.register_invalid("a", "no TOML", "file")
        record = registry.records()[0]
        assert (record["name"], record["state"], record["reason"]) == ("a", "invalid", "no TOML")
        assert registry.get("a") is None
        registry.register_invalid("a", "not in UTF-8", "file")
        assert registry.records()[0]["reason"] == "not in UTF-8"
        registry.register(made("a", node="n"), "file")
        registry.register_invalid("a", "no TOML", "file")
        assert registry.records()[0]["state"] == "active"

    def test_records_are_sorted_and_complete(self, registry):
        registry.register(made("b", node="n", to_sync=True, priority=-1, parser=lambda item: None), "plugin")
        registry.register(made("a", node="n"), "bus", ":1.5")
        assert registry.records() == [
            {
                **{"name": "a", "type": "thing", "origin": "bus", "owner": ":1.5", "state": "active", "reason": ""},
                **{"priority": 0, "to-sync": False, "has-parser": False, "pending": 0},
            },
            {
                **{"name": "b", "type": "thing", "origin": "plugin", "owner": "", "state": "active", "reason": ""},
                **{"priority": -1, "to-sync": True, "has-parser": True, "pending": 0},
            },
        ]

    def test_what_waited_for_one_that_is_registered_again_is_not_said_to_be_done(self, registry):
        agent = {"node": "n", "persist": True, "agent": "/a"}
        registry.register(made("a", callbacks=("parse",), **agent), "bus", ":1.5")
        registry.entry("a").pending = 3
        registry.set_state("a", "waiting", "Its owner is gone.", owner="")
        registry.register(made("a", callbacks=("parse",), **agent), "bus", ":1.6")
        assert registry.records()[0]["pending"] == 3
        registry.register(made("a", callbacks=("match",), **agent), "bus", ":1.6")
        assert registry.records()[0]["pending"] == 0

    def test_interests_are_the_nodes_that_are_kept_without_being_read(self, registry):
        registry.register(made("kept", node="urn:a", to_sync=True))
        registry.register(made("prefix", node="urn:b/", to_sync=True))
        registry.register(made("whole", node="urn:g/", exact=True, to_sync=True))
        registry.register(made("demand", node="urn:c", to_sync=True, demand=True))
        registry.register(made("other", node="urn:d"))
        registry.register(made("namespace", namespace="urn:e", to_sync=True))
        registry.register(made("excluded", node="urn:f", to_sync=True, excluded=True))
        assert registry.interests() == {"urn:a", "urn:g/"}


class TestParsing:
    def test_a_node_without_analyser_keeps_its_payloads(self, registry):
        parsed = registry.parse("", context("<x xmlns='urn:x'/>"))
        assert parsed.payload == "<x xmlns='urn:x'/>"
        assert (parsed.data, parsed.type, parsed.subtype, parsed.errors) == (None, "", "", ())

    def test_what_nothing_is_made_of_may_be_anything(self, registry):
        registry.register(made("a", node="n"))
        assert [registry.parse(name, context("<x")).errors for name in ("", "a")] == [(), ()]

    def test_an_analyser_that_is_gone_is_like_none(self, registry):
        assert registry.parse("gone", context("<x/>")).type == ""

    def test_an_analyser_without_parser_gives_type_and_subtype(self, registry):
        registry.register(made("a", node="n", subtype="sub"))
        parsed = registry.parse("a", context("<x/>"))
        assert (parsed.type, parsed.subtype, parsed.data) == ("thing", "sub", None)

    def test_the_parser_gets_the_item_and_may_change_its_type(self, registry):
        def parse(item):
            item.subtype = item.element.get("kind")
            item.error("not nice")
            return {"id": item.context.id, "n": 1}

        registry.register(made("a", node="n", parser=parse))
        parsed = registry.parse("A", context("<x kind='k'/>"))
        assert parsed.subtype == "k"
        assert msgspec.json.decode(parsed.data) == {"id": "1", "n": 1}
        assert parsed.errors == ("not nice",)

    @pytest.mark.parametrize(
        "result", [lambda item: 1 / 0, lambda item: ["no", "object"], lambda item: {"x": object()}, lambda item: "text"]
    )
    def test_one_items_failure_marks_that_item_only(self, registry, result, caplog):
        registry.register(made("a", node="n", parser=result))
        with caplog.at_level(logging.INFO):
            parsed = registry.parse("a", context("<x>secret words</x>"))
        assert parsed.payload == "<x>secret words</x>"
        assert parsed.data is None
        assert len(parsed.errors) == 1
        assert parsed.errors[0].startswith("The parser of 'a' failed: ")
        assert "secret words" not in caplog.text

    def test_the_log_says_with_which_item_a_parser_failed(self, registry, caplog):
        registry.register(made("a", node="n", parser=lambda item: 1 / 0))
        item = context("<x/>")
        registry.parse("a", item)
        (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        said = (
            f"the parser of analyser 'a' failed with the item '{item.id}' of {item.address}: ZeroDivisionError in line "
        )
        assert message.startswith(said)

    @pytest.mark.parametrize(
        ("result", "said"),
        [
            (["no", "object"], "a parser returns a mapping or a struct, not list"),
            ({"x": object()}, "Encoding objects of type object is unsupported"),
            ({"x": 10**400}, "a number of more than 308 digits"),
        ],
    )
    def test_what_can_t_be_stored_of_a_parser_is_told_to_its_author(self, registry, result, said, caplog):
        registry.register(made("a", node="n", parser=lambda item: result))
        parsed = registry.parse("a", context("<x/>"))
        assert said in parsed.errors[0]
        assert said in caplog.text

    def test_a_coroutine_of_what_is_not_declared_as_one_is_told_to_its_author(self, registry):
        async def parse(item):
            return {}

        registry.register(made("a", node="n", parser=lambda item: parse(item)))
        assert registry.parse("a", context("<x/>")).errors == (
            "The parser of 'a' failed: a parser that gives a coroutine is declared with 'async def'.",
        )

    def test_whatever_a_parser_sets_can_be_stored(self, registry):
        def parse(item):
            item.type, item.subtype = "t\ud800" + "x" * 500, 7
            item.error("no\x00text\udfff" + "y" * 5000)
            item.errors.append(None)
            return {}

        registry.register(made("a", node="n", parser=parse))
        parsed = registry.parse("a", context("<x/>"))
        assert (parsed.type[:3], len(parsed.type), parsed.subtype) == ("t\ufffdx", 128, "7")
        assert (parsed.errors[0][:9], len(parsed.errors[0]), parsed.errors[1]) == ("no\ufffdtext\ufffdy"[:9], 500, "")

    @pytest.mark.parametrize(
        "words",
        [{"type": ""}, {"type": None}, {"subtype": 3}, {"type": "x" * 200}, {"to_sync": "yes"}, {"subtype": "a\0b"}],
    )
    def test_a_match_callable_that_sets_nonsense_has_failed(self, registry, words):
        def nonsense(known, analysis):
            for name, value in words.items():
                setattr(analysis, name, value)

        registry.register(made("a", node="n", to_sync=True, match=nonsense))
        matched = registry.match(subject("n"))
        assert (matched.type, matched.subtype, matched.to_sync) == ("thing", "", False)

    def test_complaints_are_bounded(self, registry):
        def parse(item):
            for _ in range(1000):
                item.unreadable("<x>", "y" * 5000, "number")

        registry.register(made("a", node="n", parser=parse))
        errors = registry.parse("a", context("<x/>")).errors
        assert len(errors) == 20
        assert max(map(len, errors)) < 100

    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            ("<x", "no well-formed XML"),
            ("<x/><y/>", "no well-formed XML"),
            ("<x>&undefined;</x>", "Entity 'undefined' not defined"),
            ("<!DOCTYPE x [<!ENTITY e 'boom'>]><x>&e;</x>", "document type"),
            ("<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>", "document type"),
            ("<?xml version='1.0' encoding='utf-8'?><x/>", "XML declaration"),
            ("<x>\ud800</x>", "XML"),
            ("<x>\x00</x>", "XML"),
            ("<a:x/>", "no well-formed XML"),
            ("<x>" * 101 + "</x>" * 101, "more than 100 elements within each other"),
            ("<x>" * 100 + "<x/>" + "</x>" * 100, "more than 100 elements within each other"),
            ("<x>" * 5000 + "</x>" * 5000, "no well-formed XML"),
            ("<x>" + "y" * (1 << 20) + "</x>", "longer than"),
        ],
    )
    def test_a_payload_that_is_refused_is_kept_as_it_came(self, registry, payload, said):
        registry.register(made("a", node="n", parser=lambda item: {}))
        parsed = registry.parse("a", context(payload))
        assert parsed.payload == payload
        assert parsed.data is None
        assert len(parsed.errors) == 1
        assert said in parsed.errors[0]

    def test_as_many_elements_within_each_other_as_may_be_are_read(self, registry):
        registry.register(made("a", node="n", parser=lambda item: {}))
        assert registry.parse("a", context("<x>" * 99 + "<y/>" * 9 + "</x>" * 99)).data == "{}"

    def test_an_item_without_payload_is_nothing_to_complain_about(self, registry):
        registry.register(made("a", node="n", parser=lambda item: {}))
        assert registry.parse("a", context("")).errors == ()

    def test_a_parser_may_take_over_a_namespace_on_every_node(self, registry):
        registry.register(made("plain", node="n", parser=lambda item: {"plain": True}))
        sealed = made(
            "sealed", type="sealed", namespace="urn:s", takes_over=frozenset({"urn:s"}), parser=lambda item: {}
        )
        registry.register(sealed)
        assert registry.parse("plain", context("<x/>", "urn:s")).type == "sealed"
        assert registry.parse("", context("<x/>", "urn:s")).type == "sealed"
        assert registry.parse("plain", context("<x/>", "urn:x")).type == "thing"
        assert [registry.parser(name, "urn:s") for name in ("plain", "")] == ["sealed", "sealed"]
        assert [registry.parser(name, "urn:x") for name in ("plain", "")] == ["plain", ""]
        registry.unregister("sealed")
        assert registry.parse("plain", context("<x/>", "urn:s")).type == "thing"

    def test_secrets_are_scrubbed_before_any_parser_sees_them(self, registry):
        def scrub(element):
            secrets = element.findall("secret")
            for secret in secrets:
                element.remove(secret)
            return bool(secrets)

        def parse(item):
            return {"text": "".join(item.element.itertext()), "had": item.scrubbed}

        registry.register(made("guard", namespace="urn:s", scrubs={"urn:s": scrub}))
        registry.register(made("other", node="n", parser=parse))
        parsed = registry.parse("other", context("<x>a<secret>pw</secret></x>", "urn:s"))
        assert parsed.payload == "<x>a</x>"
        assert msgspec.json.decode(parsed.data) == {"text": "a", "had": True}
        # Without a parser, and without any analyser.
        for name in ("guard", ""):
            parsed = registry.parse(name, context("<x>a<secret>pw</secret></x>", "urn:s"))
            assert (parsed.payload, parsed.errors) == ("<x>a</x>", ())
        # What can't be read can't be cleaned either.
        assert registry.parse("other", context("<x><secret>pw", "urn:s")).payload == ""
        # Nothing to scrub: as it came.
        assert registry.parse("other", context("<x  >a</x>", "urn:s")).payload == "<x  >a</x>"

    @pytest.mark.parametrize("namespaces", [("urn:a:1", "urn:a:2"), ("urn:a", "b"), ("a", "urn:a:1"), ("urn:a",)])
    def test_secrets_are_scrubbed_wherever_their_namespace_occurs(self, registry, namespaces):
        def scrub(element):
            element.text = ""
            return True

        for number, namespace in enumerate(namespaces):
            registry.register(made(f"guard-{number}", namespace=namespace, scrubs={namespace: scrub}))
        for namespace in namespaces:
            assert registry.parse("", context(f"<o>pw<i xmlns='{namespace}'/></o>", "urn:z")).payload == (
                f'<o><i xmlns="{namespace}"/></o>'
            )
        for number in range(len(namespaces)):
            registry.unregister(f"guard-{number}")
        assert registry.parse("", context(f"<o>pw<i xmlns='{namespaces[0]}'/></o>")).payload.startswith("<o>pw")

    def test_an_analyser_that_leaves_while_a_thread_looks_for_secrets_fails_nothing(self, registry):
        def scrub(element):
            element.text = None
            return True

        class Leaving(str):
            """A namespace that is the last that was looked for before its analyser left."""

            __slots__ = ()

            def __hash__(self):
                if registry.entry("guard") is not None:
                    registry.unregister("guard")
                return super().__hash__()

        space = Leaving("urn:s")
        registry.register(made("guard", namespace="urn:s", scrubs={"urn:s": scrub}))
        parsed = registry.parse("", context("<x xmlns='urn:s'>pw</x>", space))
        assert parsed.payload in ("<x xmlns='urn:s'>pw</x>", '<x xmlns="urn:s"/>')
