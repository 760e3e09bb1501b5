"""Nodes as one account sees them: their states, who may see them, what a service refused, what is known of both."""
