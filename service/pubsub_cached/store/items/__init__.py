"""Rows of items: read in pages and records, written in batches, ordered, flagged, replaced and removed."""
