"""Which variables a user means."""

import keras
import numpy as np

from keras_strategies._internal import checks


def selection(where, variables):
    """A boolean array: which of `variables` `where` names.

    `where` is a regular expression searched in the paths of the variables, a layer
    or a variable. It must name at least one.
    """
    if isinstance(where, keras.layers.Layer):
        wanted = {id(variable) for variable in where.trainable_variables}
        found = [id(variable) in wanted for variable in variables]
    elif isinstance(where, keras.Variable):
        found = [variable is where for variable in variables]
    else:
        pattern = compiled("where", where)
        found = [bool(pattern.search(path_of(variable))) for variable in variables]
    if not any(found):
        checks.fail(
            "`where` must name one or more of the variables that are updated, whose "
            f"paths are {[path_of(variable) for variable in variables]}",
            fix="Give a regular expression for the path, a layer or a variable that "
            "was trainable when the optimizer was built.",
            where=where,
        )
    return np.array(found)


def path_of(variable):
    """The path of a Keras variable, else its name."""
    return getattr(variable, "path", variable.name)


def compiled(name, pattern):
    """Checks a regular expression and returns it compiled."""
    fix = "Give a regular expression for variable paths."
    return checks.pattern(name, pattern, fix=fix)


def checked_patterns(name, patterns, optional=False):
    """Checks a list of regular expressions and returns a new list."""
    if patterns is None and optional:
        return None
    checks.instance(
        name,
        patterns,
        (list, tuple),
        fix="Give a list of regular expressions for variable paths.",
    )
    for pattern in patterns:
        compiled(name, pattern)
    return list(patterns)
