"""Atomic file writes: to another name first, then renamed."""

import os


def replace(path, content):
    """Writes `content` (bytes) to `path`; an existing file keeps its permissions."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
