"""Keras's outputs calibrated by labels, as a truth of little noise (NumPy only).

Without labels the Keras model's own outputs stand for the truth. That is wrong where
the model is wrong about itself: an overconfident one loses nothing when its
probabilities are pressed together, and a biased one gains by a bias of the other sign.
Labels tell, but as a truth of their own they are noisy: of 300 answers that change by
one in fifty, a loss of two points has a standard error of nearly one. So the labels
correct the model's outputs by few parameters, and the corrected outputs are the truth.

Every fit has a prior around no correction: a few labels change little.
"""

import numpy as np

from keras_strategies.export.verify._measure import random_rows, softmax

# Standard deviations of the priors: logarithm of the temperature, bias of a logit, and
# offset and slope of values in standard deviations.
_TEMPERATURE, _CLASS_BIAS, _ANSWER_BIAS, _LINE = 0.5, 0.2, 0.5, 0.2
# Classes beyond which a bias for each of them is left out.
_MAX_BIASED = 50
_MAX_FITTED = 20_000
_STEPS = 15
_SMALLEST = 1e-7


def correlation(values: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean over the channels of their correlation with the labels.

    Near zero the labels are those of other samples, or the model knows nothing.

    Args:
        values: Values or probabilities, (positions, channels).
        labels: Labels, one-hot for classes.
    """
    pair = [x - x.mean(axis=0) for x in (values, labels)]
    scale = pair[0].std(axis=0) * pair[1].std(axis=0)
    covariance = (pair[0] * pair[1]).mean(axis=0)
    varies = scale > 0
    return float((covariance[varies] / scale[varies]).mean()) if varies.any() else 0.0


def calibrated_classes(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns class probabilities with a temperature and biases that fit the labels.

    Source: [Guo et al., 2017](https://arxiv.org/abs/1706.04599), vector scaling with
    one temperature.

    Args:
        p: Probabilities, (positions, classes).
        labels: One-hot labels.
    """
    scores = np.log(np.clip(p, _SMALLEST, 1.0))
    scores = scores - scores.mean(axis=1, keepdims=True)
    log_scale, bias = _fit_classes(*random_rows(_MAX_FITTED, scores, labels))
    return softmax(np.exp(log_scale) * scores + bias)


def _fit_classes(scores, labels):
    """Newton's method on the posterior of `softmax(exp(log_scale) scores + bias)`."""
    classes = scores.shape[1]
    num_biases = classes if classes <= _MAX_BIASED else 0
    precision = np.full(1 + num_biases, _CLASS_BIAS**-2)
    precision[0] = _TEMPERATURE**-2
    parameters = np.zeros(1 + num_biases)
    for _ in range(_STEPS):
        scaled = np.exp(parameters[0]) * scores
        p = softmax(scaled + (parameters[1:] if num_biases else 0.0))
        error = p - labels
        # The derivative of the scores by the logarithm of their scale is `scaled`.
        centred = scaled - (p * scaled).sum(axis=1, keepdims=True)
        gradient = precision * parameters
        gradient[0] += (error * scaled).sum()
        hessian = np.diag(precision)
        hessian[0, 0] += (p * np.square(centred)).sum()
        if num_biases:
            gradient[1:] += error.sum(axis=0)
            hessian[0, 1:] = hessian[1:, 0] = (p * centred).sum(axis=0)
            hessian[1:, 1:] += np.diag(p.sum(axis=0)) - p.T @ p
        parameters -= np.clip(np.linalg.solve(hessian, gradient), -0.5, 0.5)
    return parameters[0], parameters[1:] if num_biases else 0.0


def calibrated_answers(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns probabilities of yes with a slope and a bias for each channel.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    Args:
        p: Probabilities of yes, (positions, channels).
        labels: 0 or 1.
    """
    clipped = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    scores = np.log(clipped) - np.log1p(-clipped)
    log_scale, bias = _fit_answers(*random_rows(_MAX_FITTED, scores, labels))
    return _yes(np.exp(log_scale) * scores + bias)


def _yes(scores):
    return 1.0 / (1.0 + np.exp(-np.clip(scores, -30.0, 30.0)))


def _fit_answers(scores, labels):
    """Newton's method, the same two parameters for each channel at once."""
    log_scale, bias = np.zeros((2, scores.shape[1]))
    for _ in range(_STEPS):
        scaled = np.exp(log_scale) * scores
        p = _yes(scaled + bias)
        error, weight = p - labels, p * (1 - p)
        first = (error * scaled).sum(axis=0) + log_scale / _TEMPERATURE**2
        second = error.sum(axis=0) + bias / _ANSWER_BIAS**2
        a = (weight * np.square(scaled)).sum(axis=0) + _TEMPERATURE**-2
        b = (weight * scaled).sum(axis=0)
        c = weight.sum(axis=0) + _ANSWER_BIAS**-2
        determinant = a * c - b * b
        log_scale -= np.clip((c * first - b * second) / determinant, -0.5, 0.5)
        bias -= np.clip((a * second - b * first) / determinant, -0.5, 0.5)
    return log_scale, bias


def calibrated_values(reference: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns values with an offset and a slope for each channel that fit the labels.

    Each of the two is shrunk by its standard error, in which a few extreme values
    count as what they are.

    Args:
        reference: Values, (positions, channels).
        labels: Labels.
    """
    deviation = reference.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    standard = (reference - reference.mean(axis=0)) / deviation
    missing = (labels - reference) / deviation
    offset, slope = missing.mean(axis=0), (standard * missing).mean(axis=0)
    rest = missing - offset - slope * standard
    offset = offset * _kept(rest.var(axis=0) / len(rest))
    slope = slope * _kept(np.square(standard * rest).mean(axis=0) / len(rest))
    return reference + deviation * (offset + slope * standard)


def _kept(error_variance):
    return _LINE**2 / (_LINE**2 + error_variance)
