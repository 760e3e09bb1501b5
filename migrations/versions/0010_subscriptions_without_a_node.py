"""Subscriptions that the daemon made, to nodes whose rows went before they were given up

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscription",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("subid", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_subscription_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "service", "node", name=op.f("pk_subscription")),
    )


def downgrade() -> None:
    op.drop_table("subscription")
