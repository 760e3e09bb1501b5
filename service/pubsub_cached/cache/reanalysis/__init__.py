"""What follows from an analyser that comes, changes or goes."""
