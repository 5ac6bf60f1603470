"""What a search checks and prepares before its first trial."""
