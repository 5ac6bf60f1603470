"""Trainings of a study: data and splits, one training, many, and what is stored."""
