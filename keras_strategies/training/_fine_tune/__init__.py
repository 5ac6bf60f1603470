"""Transfer learning: heads, frozen layers, two phases."""
