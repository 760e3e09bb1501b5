"""Nodes without the time of a proof that nobody reads

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not in a batch, which would make the table anew on SQLite, and drop what refers to its rows.
    op.drop_column("node", "proof_at")


def downgrade() -> None:
    op.add_column("node", sa.Column("proof_at", sa.BigInteger(), nullable=True))
