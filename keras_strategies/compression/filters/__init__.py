"""Structured pruning: channel groups, removal of filters, and their cost in FLOPs."""
