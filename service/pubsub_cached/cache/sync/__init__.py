"""Synchronisation: a node fetched as its service allows, marked and swept; and subscriptions to its events."""
