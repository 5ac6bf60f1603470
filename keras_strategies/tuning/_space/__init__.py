"""The search space: hyperparameters, their values, ranges and encodings."""
