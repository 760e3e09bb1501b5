"""Full text in PostgreSQL: the table ``item_text`` with the words of each item, and a GIN index on them.

words: every word in its order, folded, with spaces around them. lexemes: which there are, a TSVECTOR that is
generated from it, without places: it holds no more than 256 of one word, and none after the 16,383rd. What has to
stand together is looked for in ``words``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    FromClause,
    Text,
    and_,
    bindparam,
    cast,
    collate,
    column,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, TSVECTOR, insert

from ..dialect import Match, Matches, Truth, Value
from ..models import Item
from ..statement import Prepared, Values, bound
from ..words import Term, Words
from .tokens import tokens

TEXT = table("item_text", column("id", BigInteger), column("words", Text), column("lexemes", TSVECTOR))
# A longer word stands in the index by its beginning, in characters: it has room for 2 kB of each.
_LEXEME = 500
_AT_ONCE = 500
# So many texts are stored by one statement, for a journey to the server for each takes longer than storing it does.
_STORED_AT_ONCE = 100

_GIVEN = (
    func.unnest(bindparam("items", type_=ARRAY(Text)), bindparam("texts", type_=ARRAY(Text)))
    .table_valued(column("item", Text), column("words", Text))
    .render_derived(name="given")
)
_FOUND = (
    select(Item.id, _GIVEN.c.words)
    .select_from(_GIVEN.join(Item.__table__, Item.item_id == collate(_GIVEN.c.item, "C")))
    .where(Item.node_id == bindparam("node"))
)
_INSERT = insert(TEXT).from_select(["id", "words"], _FOUND)
_STORE = Prepared(
    _INSERT.on_conflict_do_update(
        index_elements=["id"],
        set_={"words": _INSERT.excluded.words},
        where=TEXT.c.words != _INSERT.excluded.words,
    )
)
_PAGE = Prepared(
    select(Item.id, Item.text, TEXT.c.words)
    .select_from(Item.__table__.outerjoin(TEXT, TEXT.c.id == Item.id))
    .where(Item.id > bindparam("after"))
    .order_by(Item.id)
    .limit(_AT_ONCE)
)
_ADD = Prepared(insert(TEXT).values(id=bindparam("row"), words=bindparam("words")))


def text_source() -> FromClause:
    """See ``Dialect``."""
    return TEXT


def text_row() -> Value:
    """See ``Dialect``."""
    return TEXT.c.id


def matches(words: Words, values: Values) -> Matches:
    """See ``Dialect``. What has to stand together, and words longer than the index takes, are looked for as strings."""
    wanted = [(term, tokens(term.text)) for term in words.wanted]
    unwanted = [(term, found) for term in words.unwanted if (found := tokens(term.text))]
    together = [(term, found) for term, found in unwanted if _is_to_be_looked_at(found)]
    plain = [_query(term, found) for term, found in unwanted if not _is_to_be_looked_at(found)]
    ways = [Match(values.slot(" | ".join(plain)))] if plain else []
    for term, found in together:
        ways.append(Match(values.slot(_query(term, found)), (values.slot(_together(term, found)),)))
    return Matches((_all_of(wanted, values),) if wanted else (), tuple(ways))


def matching(words: Matches) -> list[Truth]:
    """See ``Dialect``."""
    conditions = [condition for match in words.wanted for condition in _found(match)]
    return [*conditions, not_(_any_of(words.unwanted))] if words.unwanted else conditions


def holding(words: Matches) -> list[Truth]:
    """See ``Dialect``."""
    mine = TEXT.c.id == Item.id
    conditions: list[Truth] = []
    if words.wanted:
        found = (condition for match in words.wanted for condition in _found(match))
        conditions.append(exists(select(literal(1)).select_from(TEXT).where(mine, *found)))
    if words.unwanted:
        conditions.append(~exists(select(literal(1)).select_from(TEXT).where(mine, _any_of(words.unwanted))))
    return conditions


holding_each = holding


def store_texts(conn: Connection, node_id: int, texts: Iterable[tuple[str, str]]) -> None:
    """See ``Dialect``."""
    every = list(texts)
    for start in range(0, len(every), _STORED_AT_ONCE):
        some = every[start : start + _STORED_AT_ONCE]
        words = [folded(text) for _, text in some]
        _STORE.run(conn, node=node_id, items=[item for item, _ in some], texts=words)


def compare_text_index(conn: Connection) -> bool:
    """See ``Dialect``."""
    after = -1
    while rows := _PAGE.all(conn, after=after):
        if any(words != folded(text) for _, text, words in rows):
            return False
        after = rows[-1][0]
    return True


def rebuild_text_index(conn: Connection) -> None:
    """See ``Dialect``."""
    conn.execute(delete(TEXT))
    after = -1
    while rows := _PAGE.all(conn, after=after):
        _ADD.each(conn, [{"row": id_, "words": folded(text)} for id_, text, _ in rows])
        after = rows[-1][0]


def folded(text: str) -> str:
    """What ``words`` says of a text."""
    return f" {' '.join(tokens(text))} "


def _all_of(spoken: Sequence[tuple[Term, list[str]]], values: Values) -> Match:
    """Every term."""
    if not all(words for _, words in spoken):
        # Something was typed that SQLite takes for no word: it finds nothing, and nor does an empty question here.
        return Match(values.slot(""))
    strings = tuple(values.slot(_together(term, words)) for term, words in spoken if _is_to_be_looked_at(words))
    return Match(values.slot(" & ".join(_query(term, words) for term, words in spoken)), strings)


def _any_of(ways: Sequence[Match]) -> Truth:
    return or_(*(and_(*_found(match)) for match in ways))


def _found(match: Match) -> list[Truth]:
    has = TEXT.c.lexemes.op("@@", return_type=Boolean())(cast(bound(match.expression), TSQUERY))
    return [has, *(func.strpos(TEXT.c.words, bound(string)) > 0 for string in match.strings)]


def _is_to_be_looked_at(words: Sequence[str]) -> bool:
    return len(words) > 1 or len(words[0]) >= _LEXEME


def _query(term: Term, words: Sequence[str]) -> str:
    """All the words of a term, in the language of TSQUERY; they are letters and digits."""
    *first, last = (f"'{word[:_LEXEME]}'" for word in words)
    goes_on = ":*" if term.prefix else ""
    return "(" + " & ".join((*first, last + goes_on)) + ")"


def _together(term: Term, words: Sequence[str]) -> str:
    """The words of a term, one after the other as in ``words``."""
    return f" {' '.join(words)}{'' if term.prefix else ' '}"
