"""How the trials of a search train."""
