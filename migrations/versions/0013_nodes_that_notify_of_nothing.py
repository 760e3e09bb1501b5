"""Nodes whose owner turned notifications off

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("node", sa.Column("notifies", sa.Boolean(), nullable=False, server_default=sa.true()))


def downgrade() -> None:
    # Not in a batch, which would make the table anew on SQLite, and drop what refers to its rows.
    op.drop_column("node", "notifies")
