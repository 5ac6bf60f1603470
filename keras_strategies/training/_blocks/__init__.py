"""Blocks of steps: several training steps in one call of a compiled function."""
