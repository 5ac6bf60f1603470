"""Statistics of a study: bounds, paired differences, the race, learning curves."""
