"""Finding out what was missed: which nodes are compared after a new session, when, and by what evidence."""
