"""Keras over several devices and processes: what it lacks, and what only it knows."""
