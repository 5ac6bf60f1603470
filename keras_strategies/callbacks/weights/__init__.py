"""Weights kept aside: averages, the best ones, the last finite ones."""
