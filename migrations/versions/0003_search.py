"""The text of items, its full-text index, and what leads through all items

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pubsub_cached.store.text import text_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

AT_ONCE = 500

# The index holds no copy: it reads the texts in the table of items, so each entry has to be taken out with the very
# text that it was put in with. A flag or a place that changes leaves the text, and with it the index, alone.
FULL_TEXT = """
CREATE VIRTUAL TABLE item_text
USING fts5(text, content='item', content_rowid='id', tokenize='unicode61 remove_diacritics 2')
"""
TRIGGERS = {
    "item_text_insert": """
CREATE TRIGGER item_text_insert AFTER INSERT ON item BEGIN
    INSERT INTO item_text (rowid, text) VALUES (new.id, new.text);
END
""",
    "item_text_delete": """
CREATE TRIGGER item_text_delete AFTER DELETE ON item BEGIN
    INSERT INTO item_text (item_text, rowid, text) VALUES ('delete', old.id, old.text);
END
""",
    "item_text_update": """
CREATE TRIGGER item_text_update AFTER UPDATE OF text ON item WHEN old.text IS NOT new.text BEGIN
    INSERT INTO item_text (item_text, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO item_text (rowid, text) VALUES (new.id, new.text);
END
""",
}

# Where there is no such index. A document is what JSONB can hold of the data: the character NUL stands in it as U+0001,
# and what is no JSON at all is none. Numbers that no program could hold become the largest or smallest that it can.
FUNCTIONS = {
    "pubsub_cached_json(text)": r"""
CREATE FUNCTION pubsub_cached_json(given text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN given::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    BEGIN
        RETURN regexp_replace(given, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g')::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END;
END
$$
""",
    "pubsub_cached_text(jsonb)": """
CREATE FUNCTION pubsub_cached_text(given jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(given) WHEN 'string' THEN given #>> '{}' END
$$
""",
    "pubsub_cached_number(jsonb)": """
CREATE FUNCTION pubsub_cached_number(given jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(given) WHEN 'number' THEN given::numeric END
$$
""",
    "pubsub_cached_float(jsonb)": """
CREATE FUNCTION pubsub_cached_float(given jsonb) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN jsonb_typeof(given) <> 'number' THEN NULL
        WHEN abs(given::numeric) > 1.7976931348623157e308 THEN sign(given::numeric)::float8 * 1.7976931348623157e308
        WHEN abs(given::numeric) < 1e-307 THEN 0
        ELSE given::float8
    END
$$
""",
    "pubsub_cached_lexemes(text)": """
CREATE FUNCTION pubsub_cached_lexemes(words text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_to_tsvector(ARRAY(
        SELECT DISTINCT left(word, 500) FROM unnest(string_to_array(words, ' ')) AS word WHERE word <> ''
    ))
$$
""",
}


def upgrade() -> None:
    op.add_column("item", sa.Column("text", TEXT, nullable=False, server_default=""))
    if not op.get_context().as_sql:
        _read_texts()
    op.create_index(op.f("ix_item_modified_type_node_id"), "item", ["modified", "type", "node_id"])
    op.create_index(op.f("ix_node_shown"), "node", ["account_id", "state", "completeness", "validated_at", "next_sync"])
    if op.get_context().dialect.name == "sqlite":
        op.execute(FULL_TEXT)
        op.execute("INSERT INTO item_text (item_text) VALUES ('rebuild')")
        for statement in TRIGGERS.values():
            op.execute(statement)
    else:
        _upgrade_server()


def _upgrade_server() -> None:
    # For which no start on SQLite shall wait.
    from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

    from pubsub_cached.store.postgresql.texts import rebuild_text_index

    for statement in FUNCTIONS.values():
        op.execute(statement)
    op.add_column("item", sa.Column("document", JSONB(), sa.Computed("pubsub_cached_json(data)", persisted=True)))
    op.create_table(
        "item_text",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("words", TEXT, nullable=False),
        sa.Column("lexemes", TSVECTOR(), sa.Computed("pubsub_cached_lexemes(words)", persisted=True)),
        sa.ForeignKeyConstraint(["id"], ["item.id"], name=op.f("fk_item_text_id_item"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_text")),
    )
    op.create_index(op.f("ix_item_text_lexemes"), "item_text", ["lexemes"], postgresql_using="gin")
    if not op.get_context().as_sql:
        rebuild_text_index(op.get_bind())


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for name in TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TABLE item_text")
    else:
        op.drop_table("item_text")
        op.drop_column("item", "document")
        for signature in FUNCTIONS:
            op.execute(f"DROP FUNCTION {signature}")
    op.drop_index(op.f("ix_node_shown"), "node")
    op.drop_index(op.f("ix_item_modified_type_node_id"), "item")
    op.drop_column("item", "text")


def _read_texts() -> None:
    """The texts of the items that are there."""
    item = sa.table("item", sa.column("id", sa.BigInteger), sa.column("data", sa.Text), sa.column("text", sa.Text))
    page = (
        sa.select(item.c.id, item.c.data)
        .where(item.c.id > sa.bindparam("after"), item.c.data.is_not(None))
        .order_by(item.c.id)
        .limit(AT_ONCE)
    )
    write = item.update().where(item.c.id == sa.bindparam("row")).values(text=sa.bindparam("words"))
    connection = op.get_bind()
    after = -1
    while rows := connection.execute(page, {"after": after}).all():
        after = rows[-1][0]
        connection.execute(write, [{"row": id_, "words": text_of(data)} for id_, data in rows])
