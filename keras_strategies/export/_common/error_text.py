"""Texts of foreign exceptions, short enough for messages of our own."""


def shorten(text: str, limit: int = 1200) -> str:
    """Returns `text` in at most `limit` characters, its error lines first.

    A converter reports one error in thousands of lines of module dumps; the lines
    with "error:" carry the information.
    """
    lines = [line for line in text.splitlines() if "error:" in line]
    text = "\n".join(lines) if len(text) > limit and lines else text
    return text if len(text) <= limit else text[:limit] + " ..."


def exception_text(error: BaseException) -> str:
    """Returns the class and the shortened message of an exception."""
    return shorten(f"{type(error).__name__}: {error}")
