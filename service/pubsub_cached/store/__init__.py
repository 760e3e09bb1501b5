"""The database: what was cached, and every change of it numbered. Knows nothing of the bus or of XMPP.

Its rooms, each of which imports only those before it:

    accounts items search upkeep

``store`` puts them together. What else is beside them serves them all: the schema (``models``, ``revisions``,
``migrate``, ``indexes``), the database and its one writer (``database``, ``writer``, ``transaction``, ``aside``,
``urls``, ``whose``), what goes in and out (``rows``, ``touched``, ``versions``, ``given``), and the words of SQL and
of queries (``dialect``, ``statement``, ``listed``, ``words``, ``text``); ``sqlite`` and ``postgresql`` are
two dialects.
"""
