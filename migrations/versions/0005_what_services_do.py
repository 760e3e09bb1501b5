"""What was observed of services, and when a node was last fetched as a whole and described

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "service",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("paging", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_service_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "service", name=op.f("pk_service")),
    )
    op.add_column("node", sa.Column("whole_at", sa.BigInteger()))
    op.add_column("node", sa.Column("described_at", sa.BigInteger()))


def downgrade() -> None:
    with op.batch_alter_table("node") as batch:
        batch.drop_column("described_at")
        batch.drop_column("whole_at")
    op.drop_table("service")
