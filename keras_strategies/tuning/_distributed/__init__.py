"""Searches of several processes: calls on the oracle, workers, isolated trials."""
