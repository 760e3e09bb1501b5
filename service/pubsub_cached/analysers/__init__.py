"""What a node is, whether it is kept, and how its items become data; knows nothing of bus, store or session."""
