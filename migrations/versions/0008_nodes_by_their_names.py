"""Nodes are found by their names alone, and those that may be shown are counted in the index

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SHOWN = ["account_id", "state", "completeness", "validated_at", "next_sync"]


def upgrade() -> None:
    op.create_index(op.f("ix_node_node_service"), "node", ["node", "service"])
    op.drop_index(op.f("ix_node_shown"), "node")
    op.create_index(op.f("ix_node_shown"), "node", [*SHOWN, "reason"])


def downgrade() -> None:
    op.drop_index(op.f("ix_node_shown"), "node")
    op.create_index(op.f("ix_node_shown"), "node", SHOWN)
    op.drop_index(op.f("ix_node_node_service"), "node")
