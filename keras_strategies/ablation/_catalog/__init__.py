"""Ready strategies, each with what it does, why and where it comes from."""
