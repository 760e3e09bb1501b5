"""The first schema

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Compared by code points, whatever the locale of a server is.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", ID, nullable=False),
        sa.Column("jid", TEXT, nullable=False),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("port", sa.BigInteger(), nullable=False),
        sa.Column("tls", TEXT, nullable=False),
        sa.Column("ca_file", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("jid", name=op.f("uq_account_jid")),
    )
    op.create_table(
        "counter",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    # A new database starts at the clock, so that a revision kept from an older one is unknown, not mistaken.
    counters = sa.table("counter", sa.column("name", TEXT), sa.column("value", sa.BigInteger))
    now = time.time_ns() // 1_000_000
    op.bulk_insert(counters, [{"name": "revision", "value": now}, {"name": "sequence", "value": 0}])
    op.create_table(
        "flag",
        sa.Column("account", TEXT, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("item_id", TEXT, nullable=False),
        sa.Column("flag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account", "service", "node", "item_id", "flag", name=op.f("pk_flag")),
    )
    op.create_table(
        "node",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("completeness", TEXT, nullable=False),
        sa.Column("guarantee", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("subtype", TEXT, nullable=False),
        sa.Column("analyser", TEXT, nullable=False),
        sa.Column("analyser_version", sa.BigInteger(), nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("access_model", TEXT, nullable=False),
        sa.Column("node_type", TEXT, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("max_items", sa.BigInteger(), nullable=True),
        sa.Column("subscribed", sa.Boolean(), nullable=False),
        sa.Column("own_subscription", sa.Boolean(), nullable=False),
        sa.Column("subid", TEXT, nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("redirect", TEXT, nullable=False),
        sa.Column("validated_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sync", sa.BigInteger(), nullable=True),
        sa.Column("next_sync", sa.BigInteger(), nullable=True),
        sa.Column("proof_at", sa.BigInteger(), nullable=True),
        sa.Column("last_read", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("gone_at", sa.BigInteger(), nullable=True),
        sa.Column("item_count", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_node_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
        sa.UniqueConstraint("account_id", "service", "node", name=op.f("uq_node_account_id_service_node")),
    )
    op.create_index(op.f("ix_node_revision"), "node", ["revision"])
    op.create_index(op.f("ix_node_next_sync"), "node", ["next_sync"])

    op.create_table(
        "item",
        sa.Column("id", ID, nullable=False),
        sa.Column("node_id", ID, nullable=False),
        sa.Column("item_id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.Boolean(), nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("publisher", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("subtype", TEXT, nullable=False),
        sa.Column("flags", TEXT, nullable=False),
        sa.Column("errors", TEXT, nullable=False),
        sa.Column("payload", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name=op.f("fk_item_node_id_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("node_id", "item_id", name=op.f("uq_item_node_id_item_id")),
    )
    op.create_index(op.f("ix_item_node_id_created"), "item", ["node_id", "created"])
    op.create_index(op.f("ix_item_node_id_modified"), "item", ["node_id", "modified"])
    op.create_index(op.f("ix_item_node_id_revision"), "item", ["node_id", "revision"])
    op.create_index(
        op.f("ix_item_seen"),
        "item",
        ["node_id", "seen"],
        sqlite_where=sa.text("seen IS 1"),
        postgresql_where=sa.text("seen IS true"),
    )

    op.create_table(
        "tombstone",
        sa.Column("node_id", ID, nullable=False),
        sa.Column("item_id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name=op.f("fk_tombstone_node_id_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id", "item_id", name=op.f("pk_tombstone")),
    )
    op.create_index(op.f("ix_tombstone_node_id_revision"), "tombstone", ["node_id", "revision"])
    op.create_index(op.f("ix_tombstone_removed_at"), "tombstone", ["removed_at"])


def downgrade() -> None:
    for table in ("tombstone", "item", "node", "flag", "counter", "account"):
        op.drop_table(table)
