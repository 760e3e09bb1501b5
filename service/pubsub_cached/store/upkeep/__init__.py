"""The database looked at, repaired and compacted."""
