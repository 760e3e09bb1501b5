"""Reads: pages of items, nodes and subscriptions, from the database where that is the truth, else from the service."""
