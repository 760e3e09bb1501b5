"""The order of all items is that of an index, down to the item itself

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_item_modified_type_node_id"), "item")
    op.create_index(op.f("ix_item_modified_id_type_node_id"), "item", ["modified", "id", "type", "node_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_item_modified_id_type_node_id"), "item")
    op.create_index(op.f("ix_item_modified_type_node_id"), "item", ["modified", "type", "node_id"])
