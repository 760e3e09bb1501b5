"""Views: the result of a search, kept true while things change."""
