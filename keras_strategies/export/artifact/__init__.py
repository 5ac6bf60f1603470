"""Files of LiteRT: contents, metadata, and runs in the interpreter."""
