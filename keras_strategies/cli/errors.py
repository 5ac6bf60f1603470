"""Errors of the command line."""


class UsageError(Exception):
    """Bad use of a command: one clear line, exit code 2."""
