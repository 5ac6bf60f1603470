"""Subprocesses of an export: the converter and the sandbox for untrusted files."""
