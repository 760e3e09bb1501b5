"""The database: what was cached, and every change of it numbered. Knows nothing of the bus or of XMPP."""
