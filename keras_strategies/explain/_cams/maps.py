"""The formulas of class activation maps, on NumPy arrays.

Features and gradients are `(samples, *positions, channels)`, maps
`(samples, *positions)`, non-negative and not scaled.
"""

import numpy as np


def _positions(features):
    return tuple(range(1, features.ndim - 1))


def grad_cam_map(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """`relu(sum_k mean_ij(dy/dA_k) A_k)`."""
    weights = gradients.mean(axis=_positions(features), keepdims=True)
    return np.maximum((weights * features).sum(axis=-1), 0)


def grad_cam_plus_plus_map(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """`relu(sum_k w_k A_k)` with `w_k = sum_ij alpha_ijk relu(dy/dA_ijk)`.

    Equation 19 of the paper, whose second and third derivatives are those of
    `exp(score)` over a head of ReLUs: `exp(score) g^2` and `exp(score) g^3`. The factor
    cancels in alpha; that of the weights, one positive number a sample, is left out,
    as it overflows for large scores.
    """
    axes = _positions(features)
    squares, cubes = gradients**2, gradients**3
    # For scores that are exponentials of y the second and third derivative are the
    # square and the cube of the first (equation 19 of the paper).
    divisors = 2 * squares + features.sum(axis=axes, keepdims=True) * cubes
    ones = np.ones_like(divisors)
    alphas = np.where(
        divisors == 0, 0, squares / np.where(divisors == 0, ones, divisors)
    )
    weights = (alphas * np.maximum(gradients, 0)).sum(axis=axes, keepdims=True)
    return np.maximum((weights * features).sum(axis=-1), 0)


def layer_cam_map(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """`relu(sum_k relu(dy/dA_k) A_k)`, each position with its own gradient."""
    return np.maximum((np.maximum(gradients, 0) * features).sum(axis=-1), 0)


def eigen_cam_map(features: np.ndarray) -> np.ndarray:
    """`relu(A v)` with the first right singular vector `v` of each sample's features.

    The sign of a singular vector is not determined; here the projections have a sum
    of at least 0, as features behind a ReLU have.
    """
    samples, channels = len(features), features.shape[-1]
    flat = features.reshape(samples, -1, channels).astype("float64")
    # By the smaller of both Gram matrices: A v = s u, with v of A^T A and u of A A^T.
    if flat.shape[1] < channels:
        squares, vectors = np.linalg.eigh(flat @ flat.swapaxes(1, 2))
        projections = np.sqrt(np.maximum(squares[:, -1:], 0)) * vectors[..., -1]
    else:
        _, vectors = np.linalg.eigh(flat.swapaxes(1, 2) @ flat)
        projections = np.einsum("nic,nc->ni", flat, vectors[..., -1])
    # A singular vector is one up to its sign: the one by which the map is mostly
    # positive.
    signs = np.where(projections.sum(axis=1, keepdims=True) < 0, -1, 1)
    maps = np.maximum(signs * projections, 0)
    return maps.reshape(features.shape[:-1]).astype("float32")


def normalized_channels(features: np.ndarray) -> np.ndarray:
    """Each channel of each sample scaled to [0, 1]; 0 where it is constant."""
    axes = _positions(features)
    low = features.min(axis=axes, keepdims=True)
    spread = features.max(axis=axes, keepdims=True) - low
    return np.where(spread > 0, (features - low) / np.where(spread > 0, spread, 1), 0)
