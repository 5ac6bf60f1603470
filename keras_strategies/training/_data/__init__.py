"""Training data as `fit` takes them, described for a plan."""
