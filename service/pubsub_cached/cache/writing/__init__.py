"""What is published, retracted, configured and subscribed to at services, at once or from the outbox."""
