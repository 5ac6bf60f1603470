"""Schedulers of the learning rate and of other hyperparameters of optimizers."""
