"""Accounts: which there are, who holds each, the session of each, and what other daemons change of them."""
