"""Batches and targets transformed inside the training step."""
