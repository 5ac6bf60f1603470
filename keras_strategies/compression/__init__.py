"""compression."""

__all__ = []
