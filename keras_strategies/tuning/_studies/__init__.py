"""Optuna's studies: samplers, distributions, and a storage that processes share."""
