"""Full text: what is found by what was typed, and an index that is what the items say."""

from __future__ import annotations

import re
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pubsub_cached.errors import InvalidQuery
from pubsub_cached.store import words
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.text import text_of
from pubsub_cached.store.upkeep import maintenance
from tests.support.stored import publish, retract

from .conftest import Database
from .searching import found, ids, left_out, parsed, served, titled


def check_index(db: Database) -> None:
    """Fails when the index is not what the items say."""
    assert db.read(db.dialect.compare_text_index)


FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
TITLES = {
    "one": "Forty-one species in one morning",
    "two": "What a CACHE is for",
    "three": "The night train to Ljubljana",
    "four": "Café über alles, C++ and trains",
    "five": "party 🎉 tonight",
    "six": "foo AND bar OR NOT baz NEAR title:night",
}


@pytest.fixture
def full(db: Database) -> Database:
    titled(db, served(db), **TITLES)
    return db


def test_a_word_without_end_is_stored_and_found_by_its_beginning(db: Database) -> None:
    # An index takes the first 32 KiB of a word, which may end within a character.
    titled(db, served(db), endless="漢" * 11_000, other="漢字")
    assert ids(db, "漢漢*") == ["endless"]
    assert ids(db, "漢字") == ["other"]
    check_index(db)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache", ["two"]),
        ("night", ["six", "three"]),
        ("train night", ["three"]),
        ("train*", ["four", "three"]),
        ('"night train"', ["three"]),
        ('"train night"', []),
        ('"night tra"*', ["three"]),
        ('"night train', ["three"]),
        ("night -train", ["six"]),
        ('night -"night train"', ["six"]),
        ("-night -cache -species", ["five", "four"]),
        ("cafe UBER", ["four"]),
        ("caf\u0065\u0301", ["four"]),
        ("c++", ["four"]),
        ("forty-one", ["one"]),
        ("🎉", ["five"]),
        ("-🎉 -night", ["four", "one", "two"]),
        ("foo AND bar", ["six"]),
        ("AND", ["four", "six"]),
        ("title:night", ["six"]),
        ("NEAR(foo bar)", []),
        ("(foo) ^bar bar)", ["six"]),
        ("night & train", ["three"]),
        ("nothing of this", []),
    ],
)
def test_words_quotes_minus_and_star(full: Database, text: str, expected: list[str]) -> None:
    assert sorted(ids(full, text)) == sorted(expected)


def test_capitals_of_any_script_and_accents_of_latin_make_no_difference(db: Database) -> None:
    titled(db, served(db), one="Việt Nam", two="Σίσυφος", three="Ёлка")
    assert [ids(db, text) for text in ("VIET", "ΣΊΣΥΦΟΣ", "ёлка")] == [["one"], ["two"], ["three"]]
    assert [ids(db, text) for text in ("σισυφος", "елка")] == [[], []]


def test_a_letter_and_its_mark_are_found_in_either_writing(db: Database) -> None:
    titles = ("Йога", "\uc774\uba54\uc77c", "\u304c\u304d", "Σίσυφος")
    node = served(db)
    titled(
        db, node, **{f"{form}{number}": normalize(form, title) for number, title in enumerate(titles) for form in FORMS}
    )
    for number, title in enumerate(titles):
        for form in FORMS:
            assert sorted(ids(db, normalize(form, title))) == [f"NFC{number}", f"NFD{number}"]
            assert len(ids(db, f"-{normalize(form, title)}")) == 2 * len(titles) - 2
    check_index(db)


def test_words_that_differ_by_an_accent_alone_are_two(db: Database) -> None:
    titled(db, served(db), one="всё", two="все", three="все и всё", four="никто")
    assert [ids(db, text) for text in ("все всё", "всё все", "Всё всё")] == [["three"], ["three"], ["one", "three"]]
    assert [ids(db, text) for text in ("-все -всё", "-всё -все")] == [["four"], ["four"]]


@pytest.mark.parametrize("text", ["", " ", "-", "*", '"', '""', "!? &", "- * \" '", "()"])
def test_what_has_no_words_is_no_constraint(full: Database, text: str) -> None:
    assert len(ids(full, text)) == len(TITLES)


@given(st.text(max_size=60) | st.text(alphabet="ab\"*-+()^:{}[]\\%_'\0 ANDORNOT,", max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_is_typed_is_a_syntax_error(shared: Database, text: str) -> None:
    if left_out(shared, text):
        return
    assert found(shared, text).items is not None
    assert found(shared, text, order="modified").items is not None


def test_a_letter_that_an_index_takes_for_none_is_found_nowhere(full: Database) -> None:
    """To SQLite a vowel of New Tai Lue is a mark, which is no word where it stands alone."""
    assert ids(full, "\u19b0") == ids(full, "night \u19b0") == ids(full, "\u19b0 night") == []
    assert len(ids(full, "-\u19b0")) == len(TITLES)


def test_many_words_and_long_ones(full: Database) -> None:
    assert ids(full, " ".join(f"w{number}" for number in range(1500))) == []
    assert len(ids(full, "-" + " -".join(f"w{number}" for number in range(1200)))) == len(TITLES)
    assert ids(full, '"' + "night " * 1500 + '"') == []
    with pytest.raises(InvalidQuery, match="10001 characters, and 10000"):
        words.parse("x" * 10_001)


def test_a_word_is_not_the_beginning_of_one_that_is_longer_than_an_index_takes(db: Database) -> None:
    titled(db, served(db), exact="x" * 500, longer="x" * 501, other="y")
    assert ids(db, "x" * 500) == ["exact"]
    assert ids(db, "x" * 501) == ids(db, "x" * 501 + "*") == ["longer"]
    assert ids(db, "x" * 3000) == ids(db, "x" * 3000 + "*") == []
    assert ids(db, "-" + "x" * 500) == ["other", "longer"]
    assert sorted(ids(db, "x" * 500 + "*")) == ["exact", "longer"]


def test_how_a_symbol_is_to_be_drawn_makes_no_difference(db: Database) -> None:
    titled(db, served(db), bare="I \u2764 it", drawn="I \u2764\ufe0f it", other="I see it")
    for typed in ("\u2764", "\u2764\ufe0f", "\u2764\ufe0e"):
        assert sorted(ids(db, typed)) == ["bare", "drawn"]
        assert ids(db, f"-{typed}") == ["other"]


def test_many_symbols(full: Database) -> None:
    """All of them in one statement, each of them a condition."""
    symbols = [chr(0x1F600 + number) for number in range(65)]
    assert ids(full, " ".join(symbols[:64])) == []
    assert len(ids(full, "-" + " -".join(symbols[:64]))) == len(TITLES)
    with pytest.raises(InvalidQuery, match="The text has 65 symbols, and 64 is the most"):
        words.parse(" ".join(symbols))


def test_markup_is_not_searched(db: Database) -> None:
    node = served(db)
    body = [{"type": "xhtml", "text": "plain words", "xhtml": "<p class='hidden'>plain words</p>"}]
    db.write(publish, node.id, [parsed("a", {"content": body, "body": "<b>bold</b>", "url": "https://secret/"})])
    assert ids(db, "plain") == ["a"]
    for unseen in ("hidden", "bold", "secret", "entry", "xhtml"):
        assert ids(db, unseen) == []


def test_the_text_of_parsed_data() -> None:
    assert text_of(None) == text_of("[]") == text_of("{") == text_of('{"n":1}') == text_of('{"title":""}') == ""
    assert text_of('{"summary":"S","title":[{"lang":"en","text":"T\\n t"},{"text":"U"}]}') == "T t U\nS"
    assert text_of('{"categories":[{"term":"a","scheme":"no"}],"tags":["b",1,null]}') == "\na\nb"
    assert text_of('{"authors":[{"name":"Bob","uri":"no"}],"generator":{"name":"no"}}') == "\nBob"
    assert text_of('{"title":"a\\u0000b"}') == "a b"
    assert text_of('{"title":"<3 you","body":"<p>no</p>\\n","note":"on ->"}') == "<3 you\non ->"


def test_the_index_follows_every_way_of_writing(db: Database) -> None:
    node = served(db)
    titled(db, node, a="first", b="second", c="third")
    check_index(db)
    db.write(publish, node.id, [parsed("a", {"title": "changed"}), parsed("b", {"title": "second"})])
    assert (ids(db, "first"), ids(db, "changed"), ids(db, "second")) == ([], ["a"], ["b"])
    db.write(retract, node.id, ["b"])
    assert ids(db, "second") == []
    check_index(db)
    newer = [parsed("c", {"title": "third"}), parsed("d", {"title": "fourth"})]
    db.write(items.replace, node.id, newer, full=True, moves=True)
    assert (ids(db, "changed"), ids(db, "third"), ids(db, "fourth")) == ([], ["c"], ["d"])
    check_index(db)
    db.write(items.drop, node.id)
    assert ids(db, "third") == []
    other = served(db, "other")
    titled(db, other, a="elsewhere")
    db.write(nodes.forget, other.id)
    assert ids(db, "elsewhere") == []
    check_index(db)
    db.write(maintenance.reset)
    check_index(db)
    while db.write(items.drop_discarded):
        pass
    check_index(db)
    assert db.rows("SELECT count(*) FROM item_text") == [(0,)]


def test_flags_and_places_leave_the_index_alone(db: Database) -> None:
    rows = {
        "sqlite": "SELECT id, block FROM item_text_data ORDER BY id",
        # Where a row lies, which every change of it changes.
        "postgresql": "SELECT id, ctid::text FROM item_text ORDER BY id",
    }[db.dialect.NAME]
    node = served(db)
    titled(db, node, a="first", b="second")
    before = db.rows(rows)
    db.write(items.set_flags, node.address, ["a"], ["read"], [])
    db.write(publish, node.id, [parsed("a", {"title": "first"})])
    assert ids(db, order="modified") == ["b", "a"]
    assert db.rows(rows) == before


def test_a_snippet_is_plain_text_around_a_word(db: Database) -> None:
    node = served(db)
    long = "word " * 100 + "Größe zählt " + "word " * 100
    db.write(publish, node.id, [parsed("a", {"title": "grosse", "summary": long}), parsed("b", {"title": "Größe"})])
    pieces = {item["id"]: item["snippet"] for item in found(db, "größe").items}
    assert pieces["b"] == "Größe"
    assert pieces["a"].startswith("… word")
    assert pieces["a"].endswith("word …")
    assert "Größe zählt" in pieces["a"]
    assert len(pieces["a"]) < 200
    assert all("snippet" not in item for item in found(db).items)
    assert all("snippet" not in item for item in found(db, "größe", fields=frozenset({"id"})).items)


@pytest.mark.parametrize(
    ("text", "other", "word"),
    [
        ("ΝΌΜΟΣ", "λόγος", "νόμος"),
        ("ΝΌΜΟΣ*", "λόγος", "νόμος"),
        ("всё", "все", "всё"),
        ("메일", "모임", "메일"),
        ("VIET", "Lao", "Việt"),
    ],
)
def test_a_snippet_is_around_the_word_that_was_found(db: Database, text: str, other: str, word: str) -> None:
    others = f"{other} " * 100
    db.write(publish, served(db).id, [parsed("a", {"title": "x", "summary": f"{others}{word} {others}"})])
    assert word in found(db, text).items[0]["snippet"]


def test_a_snippet_that_begins_behind_the_first_line_was_not_cut() -> None:
    assert words.Snippets(words.parse("word"))("Title\nsome word here") == "some word here"


def test_a_snippet_says_where_it_was_cut() -> None:
    snippet = words.Snippets(words.parse("word"))
    long = "and so on " * 20
    assert snippet("A word\nand more of the word") == "and more of the word"
    assert snippet(f"{long}word\nbody") == f"… so on{' and so on' * 4} word body"
    assert snippet(f"Title\nword {long}") == f"word{' and so on' * 15} and …"
    assert snippet(f"{'x' * 49} word").startswith("x")
    assert snippet(f"{'x' * 50} word").startswith("… x")
    assert snippet(f"word {'y ' * 77}y") == f"word {'y ' * 77}y"
    assert snippet(f"word {'y ' * 77}yy") == f"word {'y ' * 77}…"


def test_a_snippet_is_around_the_whole_word_or_what_begins_so() -> None:
    body = f"Title\n{'words ' * 50}word {'ß ' * 100}end"
    assert "words word ß" in words.Snippets(words.parse("word"))(body)
    assert words.Snippets(words.parse("word*"))(body).startswith("words words")
    # A letter that folds to two is one of the text.
    assert words.Snippets(words.parse("end"))(body).endswith("ß end")
    # What an index takes for one word, and is none to look for.
    assert words.Snippets(words.parse("xy"))("Title\nx\u0338y") == "Title x\u0338y"


def test_a_snippet_of_a_script_without_spaces_parts_no_mark_from_its_letter() -> None:
    snippet = words.Snippets(words.parse("word"))
    for shift in range(2):
        piece = snippet(f"{'ก' * shift}{'กี' * 100} word {'กี' * 100}")
        assert (piece[:4], piece[-4:]) == ("… กี", "กี …")
    # Of marks without end it is cut somewhere.
    assert len(snippet(f"word{chr(0x0308) * 1000}")) == words.SNIPPET + 2


def test_the_best_comes_first(db: Database) -> None:
    node = served(db)
    filler = " ".join(["other"] * 80)
    texts = {"body": {"title": "x", "content": f"{filler} gtk"}, "title": {"title": "gtk", "content": filler}}
    texts |= {"often": {"title": "gtk gtk", "content": "gtk gtk"}, "long": {"content": f"{filler * 20} gtk"}}
    db.write(publish, node.id, [parsed(id_, data) for id_, data in texts.items()])
    assert ids(db, "gtk") == ["often", "title", "body", "long"]
    assert ids(db, "gtk", order="rank") == ["long", "body", "title", "often"]
    assert ids(db, "gtk", order="rank desc, id") == ["often", "title", "body", "long"]


def test_a_word_in_the_name_counts_for_more_however_it_is_written(db: Database) -> None:
    texts = {"named": {"name": "Café"}, "both": {"title": "CAFE", "content": "and something more"}}
    texts |= {"told": {"content": "cafe cafe"}, "once": {"content": "cafe"}}
    db.write(publish, served(db).id, [parsed(id_, data) for id_, data in texts.items()])
    assert ids(db, "cafe") == ["named", "both", "told", "once"]


# Letters of a script, with capitals, marks and what is folded in another way; and what stands between words.
SCRIPTS = ("abB1", "aeéÉü", "еёЁйЙ", "σςΣόΌο", "이메일", "かがガ", "1٣२²", "s\u017fßk\u212aﬁ")
BETWEEN = (" ", "-", ", ", "_", "🎉", "\n")


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], str, bool]:
    """Titles, a text to look for in them, and whether it is looked for in the order by rank."""
    word = st.text(draw(st.sampled_from(SCRIPTS)), min_size=1, max_size=3)

    def said(most: int) -> str:
        words = draw(st.lists(word, min_size=1, max_size=most))
        return "".join(one + draw(st.sampled_from(BETWEEN)) for one in words[:-1]) + words[-1]

    def part() -> str:
        minus, star = draw(st.sampled_from(["", "", "-"])), draw(st.sampled_from(["", "", "*"]))
        return minus + draw(st.sampled_from([f'"{said(3)}"', draw(word)])) + star

    titles = [normalize(draw(st.sampled_from(FORMS)), said(6)) for _ in range(draw(st.integers(1, 6)))]
    return titles, " ".join(part() for _ in range(draw(st.integers(1, 3)))), draw(st.booleans())


def folded(text: str) -> list[str]:
    """The words of a text, as docs/databases.md says."""
    letters = (base if (base := normalize("NFD", one)[0]).isascii() else one for one in normalize("NFC", text))
    small = "".join(one.casefold() if len(one.casefold()) == 1 else one.lower() for one in letters)
    return re.findall(r"[^\W_]+", small)


def has(words: list[str], part: str) -> bool:
    """Whether a part of what was typed lets a text with these words through."""
    minus, said, star = re.fullmatch(r'(-?)"?([^"]*?)"?(\*?)', part).groups()  # type: ignore[union-attr]
    asked = folded(said)
    places = range(len(words) - len(asked) + 1)
    last = str.startswith if star else str.__eq__
    is_there = any(
        words[at : at + len(asked) - 1] == asked[:-1] and last(words[at + len(asked) - 1], asked[-1]) for at in places
    )
    return is_there is not bool(minus)


@given(corpora())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_found_in_any_script_is_what_the_words_say(shared: Database, case: tuple[list[str], str, bool]) -> None:
    if left_out(shared, case):
        return
    titles, text, ranked = case
    node = served(shared)
    try:
        titled(shared, node, **{str(number): title for number, title in enumerate(titles)})
        parts = re.findall(r'-?(?:"[^"]*"\*?|[^" ]+)', text)
        expected = [str(n) for n, title in enumerate(titles) if all(has(folded(title), part) for part in parts)]
        for form in FORMS:
            assert sorted(ids(shared, normalize(form, text), order="" if ranked else "modified")) == expected
    finally:
        shared.write(nodes.forget, node.id)
