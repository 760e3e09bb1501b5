"""What waits to be sent, and subscriptions that were given up

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("node", sa.Column("declined", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("payload", TEXT, nullable=False),
        sa.Column("options", TEXT, nullable=False),
        sa.Column("notify", sa.Boolean(), nullable=False),
        sa.Column("items", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_outbox_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_account_id"), "outbox", ["account_id"])


def downgrade() -> None:
    op.drop_table("outbox")
    with op.batch_alter_table("node") as batch:
        batch.drop_column("declined")
