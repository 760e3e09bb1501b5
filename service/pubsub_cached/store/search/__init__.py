"""Searches: from a query to its shape, and from that to statements that look at few rows."""
