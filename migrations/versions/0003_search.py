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


def upgrade() -> None:
    op.add_column("item", sa.Column("text", sa.Text(), nullable=False, server_default=""))
    if not op.get_context().as_sql:
        _read_texts()
    op.create_index(op.f("ix_item_modified_type_node_id"), "item", ["modified", "type", "node_id"])
    op.create_index(op.f("ix_node_shown"), "node", ["account_id", "state", "completeness", "validated_at", "next_sync"])
    if op.get_context().dialect.name == "sqlite":
        op.execute(FULL_TEXT)
        op.execute("INSERT INTO item_text (item_text) VALUES ('rebuild')")
        for statement in TRIGGERS.values():
            op.execute(statement)


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for name in TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TABLE item_text")
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
