"""Magnitude pruning: schedules, masks, patterns and their report."""
