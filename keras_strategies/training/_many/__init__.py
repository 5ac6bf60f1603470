"""Many trainings of one architecture."""
