"""Texts with letters and their marks in one character, as what is typed has them

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

AT_ONCE = 500


def upgrade() -> None:
    # What is written as SQL is for a database in which there are no items yet.
    if not op.get_context().as_sql:
        _compose_texts()


def downgrade() -> None:
    # Text of either writing is text to both versions.
    pass


def _compose_texts() -> None:
    # For which nobody waits who starts with the newest schema.
    from pubsub_cached.store import dialect

    item = sa.table(
        "item",
        sa.column("id", sa.BigInteger),
        sa.column("node_id", sa.BigInteger),
        sa.column("item_id", sa.Text),
        sa.column("text", sa.Text),
    )
    page = (
        sa.select(item.c.id, item.c.node_id, item.c.item_id, item.c.text)
        .where(item.c.id > sa.bindparam("after"))
        .order_by(item.c.id)
        .limit(AT_ONCE)
    )
    write = item.update().where(item.c.id == sa.bindparam("row")).values(text=sa.bindparam("composed"))
    connection = op.get_bind()
    after = -1
    while rows := connection.execute(page, {"after": after}).all():
        after = rows[-1].id
        for id_, node_id, item_id, text in rows:
            if not unicodedata.is_normalized("NFC", text):
                composed = unicodedata.normalize("NFC", text)
                connection.execute(write, {"row": id_, "composed": composed})
                dialect.of(connection).store_texts(connection, node_id, [(item_id, composed)])
