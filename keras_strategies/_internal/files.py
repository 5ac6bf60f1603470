"""Files are written aside and renamed, so that none is ever half written."""

import os


def replace(path, content):
    """Writes `content` (bytes) to `path`; an existing file keeps its permissions."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        if path.exists():
            aside.chmod(path.stat().st_mode & 0o7777)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
