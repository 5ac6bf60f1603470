"""Bases of the results of `export`: dataclasses that are reports."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report, plain


class DataclassReport(Report):
    """A report whose figures are the fields of a dataclass."""

    def to_dict(self) -> dict[str, Any]:
        """Returns every figure as a dict of JSON-ready values."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return plain(
            {field.name: _as_dict(getattr(self, field.name)) for field in fields}
        )

    def _summary(self):
        """The fields that are single figures."""
        return {
            key: value
            for key, value in self.to_dict().items()
            if not isinstance(value, dict | list)
        }

    def _footer(self):
        return [f"warning: {text}" for text in self._warnings()]


class FiguresReport(DataclassReport):
    """A report of single figures: one line each as text, one row as a data frame.

    Data frames of several results can be concatenated to compare them.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("figure", title="", left=True),
        Column("value", title="", left=True),
    )

    def figures(self) -> list[tuple[str, str]]:
        """Returns the main figures as pairs of a name and a text."""
        raise NotImplementedError(f"{type(self).__name__} has no figures.")

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:  # type: ignore[override]
        """One row with all fields that are single figures."""
        return [self._summary()]

    def _columns(self):
        return self.COLUMNS

    def _shown_rows(self):
        return [{"figure": name, "value": text} for name, text in self.figures()]

    def _figure_size(self):
        return (7.0, 2.6)


def _as_dict(value):
    """Replaces objects that know how to become a dict, also in a dict, by it."""
    if isinstance(value, Mapping):
        return {key: _as_dict(entry) for key, entry in value.items()}
    return value.to_dict() if hasattr(value, "to_dict") else value
