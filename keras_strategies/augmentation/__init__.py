"""augmentation."""

__all__ = []
