"""The schema, as typed models. Portable: text, integers, booleans; times are milliseconds since the epoch.

Text that is unknown is "", so that NULL has one meaning only: a number or document that there is none of.
A change here needs a revision in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Named, so that a migration can drop what it has to on every database.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# Compared by code points in every database, whatever the locale of a server is.
String = Text().with_variant(Text(collation="C"), "postgresql")

# SQLite numbers rows by itself only in a column of exactly this type.
Id = BigInteger().with_variant(Integer(), "sqlite")

# Items with content of which nothing was made yet; written out, or the index on them is not found.
UNPARSED = text("data IS NULL AND errors = '' AND payload <> ''")


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: String, int: BigInteger()}  # noqa: RUF012


class Counter(Base):
    """Numbers that only go up. ``revision``: the last change of anything. ``sequence``: the last place given."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class Account(Base):
    """An account. removed: its cache is kept, the account itself is no more; or it stands in (``discarded``)."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("jid"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    jid: Mapped[str]
    origin: Mapped[str]
    enabled: Mapped[bool]
    host: Mapped[str]
    port: Mapped[int]
    tls: Mapped[str]
    ca_file: Mapped[str]
    resource: Mapped[str]
    removed: Mapped[bool]


class Node(Base):
    """A node as one account sees it; the columns are ``rows.NodeRow``'s."""

    __tablename__ = "node"
    __table_args__ = (
        UniqueConstraint("account_id", "service", "node"),
        Index(None, "revision"),
        Index(None, "next_sync"),
        Index(None, "analyser"),
        Index(None, "node", "service"),
        Index("ix_node_shown", "account_id", "state", "completeness", "validated_at", "next_sync", "reason"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    service: Mapped[str]
    node: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    completeness: Mapped[str]
    guarantee: Mapped[str]
    type: Mapped[str]
    subtype: Mapped[str]
    analyser: Mapped[str]
    analyser_version: Mapped[int]
    title: Mapped[str]
    description: Mapped[str]
    access_model: Mapped[str]
    node_type: Mapped[str]
    namespace: Mapped[str]
    max_items: Mapped[int | None]
    subscribed: Mapped[bool]
    own_subscription: Mapped[bool]
    subid: Mapped[str]
    pinned: Mapped[bool]
    redirect: Mapped[str]
    validated_at: Mapped[int | None]
    last_sync: Mapped[int | None]
    next_sync: Mapped[int | None]
    last_read: Mapped[int | None]
    failures: Mapped[int]
    gone_at: Mapped[int | None]
    item_count: Mapped[int]
    floor: Mapped[int]
    revision: Mapped[int]
    declined: Mapped[bool] = mapped_column(server_default=false())
    whole_at: Mapped[int | None]
    described_at: Mapped[int | None]
    item_expire: Mapped[int | None]
    notifies: Mapped[bool] = mapped_column(server_default=true())


class Subscription(Base):
    """A subscription that the daemon made to a node whose row went before the service had ended it."""

    __tablename__ = "subscription"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(primary_key=True)
    subid: Mapped[str]


class Service(Base):
    """What was observed of a service as one account sees it; the columns are ``services.Observed``'s.

    service: its JID, or ``@domain`` for the accounts' own services at a domain.
    """

    __tablename__ = "service"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    moved: Mapped[int]
    kept: Mapped[int]
    paging: Mapped[str]
    archived: Mapped[int] = mapped_column(server_default=text("0"))


class Item(Base):
    """An item of a node.

    hash: ``rows.digest`` of the content, "" while it is unknown. flags: space-separated, from
    ``Flag``; seen: whether ``read`` is among them. errors: a JSON array, or "". created_at,
    modified_at: the clock, for people; created, modified: the places in the two orders. text: what full text search
    reads, from data by ``text.text_of``; its index is ``item_text``, in SQLite a virtual table that triggers keep, in
    PostgreSQL one that ``Dialect.store_texts`` writes. There, ``document`` is generated from data, as JSONB.
    """

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"))
    item_id: Mapped[str]
    revision: Mapped[int]
    created: Mapped[int]
    modified: Mapped[int]
    created_at: Mapped[int]
    modified_at: Mapped[int]
    seen: Mapped[bool] = mapped_column()
    hash: Mapped[str]
    namespace: Mapped[str]
    publisher: Mapped[str]
    type: Mapped[str]
    subtype: Mapped[str]
    flags: Mapped[str]
    errors: Mapped[str]
    payload: Mapped[str]
    data: Mapped[str | None]
    text: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        UniqueConstraint("node_id", "item_id"),
        Index(None, "modified", "id", "type", "node_id"),
        Index(None, "node_id", "created"),
        Index(None, "node_id", "modified"),
        Index(None, "node_id", "revision"),
        Index("ix_item_seen", "node_id", "seen", sqlite_where=seen.is_(True)),
        Index("ix_item_unparsed", "node_id", sqlite_where=UNPARSED),
    )


class Tombstone(Base):
    """An item that the service removed, so that ``changes.since`` can tell. removed_at: the clock."""

    __tablename__ = "tombstone"
    __table_args__ = (Index(None, "node_id", "revision"), Index(None, "removed_at"))

    node_id: Mapped[int] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"), primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    removed_at: Mapped[int]


class Flag(Base):
    """A local mark of an item. Tied to no row, for it outlives the item's, the node's and their ids."""

    __tablename__ = "flag"

    account: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    flag: Mapped[str] = mapped_column(primary_key=True)


class Outbox(Base):
    """A publish or retraction that waits to be sent; the columns are ``outbox.Entry``'s, ``id`` is the order.

    options, items: JSON. path: of its job.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "account_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    service: Mapped[str]
    node: Mapped[str]
    action: Mapped[str]
    payload: Mapped[str]
    options: Mapped[str]
    notify: Mapped[bool]
    items: Mapped[str]
    path: Mapped[str]
    queued_at: Mapped[int]
    attempts: Mapped[int]


class Analyser(Base):
    """An analyser that was registered to outlive its client. definition: JSON, the keys of ``Register``."""

    __tablename__ = "analyser"

    name: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[str]


def for_postgresql() -> MetaData:
    """The schema with what PostgreSQL is told in its own words.

    Not said above: SQLAlchemy imports the whole dialect to check it, for which no start on SQLite should wait.
    """
    for index in Base.metadata.tables[Item.__tablename__].indexes:
        if (where := index.dialect_options["sqlite"]["where"]) is not None:
            index.dialect_options["postgresql"]["where"] = where
    return Base.metadata
