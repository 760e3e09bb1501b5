"""Searches over what is cached, and exports of everything that they find."""
