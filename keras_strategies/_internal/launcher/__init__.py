"""Processes that train together: their start, watch, restart and end.

Only the standard library: the launcher of a group needs neither Keras nor a backend.
"""
