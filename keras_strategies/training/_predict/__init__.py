"""Predictions in a loop, without the machinery of `model.predict`."""
