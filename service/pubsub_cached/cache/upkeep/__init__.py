"""What is dropped here but not deleted there; the database checked, repaired and compacted."""
