"""One family of losses, one file."""
