"""regularizers."""

__all__ = []
