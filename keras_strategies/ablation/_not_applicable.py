"""The error that says a strategy does not fit a model."""


class NotApplicable(ValueError):
    """Raised by a function of a `Strategy` that cannot be applied to a model.

    A study then lists the strategy as "not applicable" with this message as the
    reason, and goes on with the others.
    """
