"""Einsum of one or two operands by operations that LiteRT has."""

import functools
import operator
from typing import Any


def einsum(equation: str) -> Any:
    """Returns an einsum whose repeated labels of one operand are diagonals.

    A diagonal is the sum over one axis of the product with the identity.
    """

    def function(*operands: Any) -> Any:
        import tensorflow as tf

        terms, _, result = equation.replace(" ", "").partition("->")
        pairs = [
            _without_repeated(x, term)
            for x, term in zip(operands, terms.split(","), strict=True)
        ]
        if len(pairs) == 1:  # no product: TensorFlow would keep the einsum as it is
            [(x, term)] = pairs
            summed = [axis for axis, label in enumerate(term) if label not in result]
            kept = [label for label in term if label in result]
            x = tf.reduce_sum(x, summed) if summed else x
            return tf.transpose(x, [kept.index(label) for label in result])
        # As a matrix product of whatever has axes in one operand alone: the converter
        # takes no einsum of an outer product over a batch.
        (x, x_term), (y, y_term) = (
            _summed(x, term, result + other)
            for (x, term), other in zip(pairs, (pairs[1][1], pairs[0][1]), strict=True)
        )
        common = [label for label in x_term if label in y_term]
        batch = [label for label in common if label in result]
        inner = [label for label in common if label not in result]
        left = [label for label in x_term if label not in y_term]
        right = [label for label in y_term if label not in x_term]
        x, x_sizes = _ordered(x, x_term, batch + left + inner)
        y, y_sizes = _ordered(y, y_term, batch + inner + right)
        sizes = {**y_sizes, **x_sizes}

        def shape(*groups):
            return [sizes[label] for label in batch] + [
                functools.reduce(operator.mul, [sizes[label] for label in group], 1)
                for group in groups
            ]

        product = tf.matmul(
            tf.reshape(x, shape(left, inner)), tf.reshape(y, shape(inner, right))
        )
        made = batch + left + right
        product = tf.reshape(product, [sizes[label] for label in made])
        return tf.transpose(product, [made.index(label) for label in result])

    return function


def _summed(x, term, needed):
    """The operand without the axes that nothing else has."""
    import tensorflow as tf

    axes = [axis for axis, label in enumerate(term) if label not in needed]
    kept = "".join(label for label in term if label in needed)
    return (tf.reduce_sum(x, axes) if axes else x), kept


def _ordered(x, term, order):
    """The operand with its axes in this order, and their sizes by label."""
    import tensorflow as tf

    sizes = {
        label: tf.shape(x)[axis] if x.shape[axis] is None else int(x.shape[axis])
        for axis, label in enumerate(term)
    }
    return tf.transpose(x, [term.index(label) for label in order]), sizes


def _without_repeated(x, term):
    import tensorflow as tf

    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            first = term.index(label)
            second = term.index(label, first + 1)
            size = x.shape[first]
            shape = [1] * len(x.shape)
            shape[first] = shape[second] = size
            x = tf.reduce_sum(
                x * tf.reshape(tf.eye(size, dtype=x.dtype), shape), second
            )
            term = term[:second] + term[second + 1 :]
    return x, term
