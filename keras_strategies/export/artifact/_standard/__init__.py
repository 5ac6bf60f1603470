"""Metadata as MediaPipe Tasks reads them."""
