"""The database: what was cached, and every change of it numbered. Knows nothing of the bus or of XMPP.

=================  ====================================================================================================
the database       store database writer transaction aside dialect statement urls whose sqlite postgresql
the schema         models migrate revisions indexes
what goes in, out  rows touched versions
accounts, nodes    accounts nodes services schedule analysers
items              items pages records given batch order flags text outline replace changes removal parsing
searches           query path words shape search scope drive criteria members ranked explain
writing            outbox
looking after it   check maintenance
=================  ====================================================================================================
"""
