"""Room for rows, so that another number of rows needs no other program."""


class RowCapacity:
    """Chooses the number of rows that arrays on the device are padded to.

    The first number of rows gets arrays of its own size. When another one comes the
    sizes are powers of two, of which few serve a replay buffer that grows or the folds
    of a cross-validation.
    """

    def __init__(self) -> None:
        self._rows: int | None = None
        self._varies = False

    def padded(self, rows: int, at_most: int | None = None) -> int:
        """Returns the number of rows to pad to, at least `rows`.

        Args:
            rows: Number of rows.
            at_most: Most rows that there is memory for; with more, nothing is padded.
        """
        if self._rows is None:
            self._rows = rows
        self._varies = self._varies or rows != self._rows
        if not self._varies:
            return rows
        capacity = 1 << max(0, rows - 1).bit_length()
        return rows if at_most is not None and capacity > at_most else capacity
