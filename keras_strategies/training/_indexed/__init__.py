"""Data that are read by their numbers: order, record sources and reading ahead."""
