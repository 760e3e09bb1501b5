"""Analysers that outlive their client, and items that wait for a parser

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

UNPARSED = sa.text("data IS NULL AND errors = '' AND payload <> ''")


def upgrade() -> None:
    op.create_table(
        "analyser",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("definition", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_analyser")),
    )
    op.create_index(op.f("ix_node_analyser"), "node", ["analyser"])
    op.create_index("ix_item_unparsed", "item", ["node_id"], sqlite_where=UNPARSED, postgresql_where=UNPARSED)


def downgrade() -> None:
    op.drop_index("ix_item_unparsed", "item")
    op.drop_index(op.f("ix_node_analyser"), "node")
    op.drop_table("analyser")
