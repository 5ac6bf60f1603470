"""Choice of a plan while a model trains."""
