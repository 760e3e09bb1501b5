"""After how long a node's service removes items

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("node", sa.Column("item_expire", sa.BigInteger()))


def downgrade() -> None:
    with op.batch_alter_table("node") as batch:
        batch.drop_column("item_expire")
