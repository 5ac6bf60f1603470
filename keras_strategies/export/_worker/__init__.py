"""Processes beside this one: the converter and the sandbox for untrusted files."""
