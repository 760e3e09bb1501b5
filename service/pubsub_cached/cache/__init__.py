"""What a read may say: the cache between the bus and the services."""
