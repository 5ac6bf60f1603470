"""Checkpoints from which a training goes on as if it had not been interrupted."""
