"""XMPP behind one port: the session over slixmpp, and the fake that ships."""
