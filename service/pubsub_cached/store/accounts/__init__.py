"""Rows of accounts, and of what is theirs: services, nodes, what is due when, what waits to be sent."""
