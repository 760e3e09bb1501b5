"""A local cache of XMPP PubSub for desktop programs, on the session bus."""

__version__ = "0.1.0"
