"""Drawing indices in proportion to priorities.

A binary tree whose nodes hold the sums of their children finds the leaf at a given
cumulated priority in log2(capacity) steps (Schaul et al. 2016, appendix B.2.1,
https://arxiv.org/abs/1511.05952). The tree is one array: node i has the children 2i
and 2i + 1, the root is 1, and the leaves are its second half. All functions work on
many indices at once.
"""

from typing import Any

import numpy as np


def leaf_count(capacity: int) -> int:
    """The power of two that has room for `capacity` leaves."""
    return 1 << max(capacity - 1, 0).bit_length()


def set_leaves(tree: np.ndarray, indices: np.ndarray, values: Any) -> None:
    """Sets priorities and the sums above them, in the array itself."""
    nodes = np.asarray(indices) + len(tree) // 2
    tree[nodes] = values
    for _ in range((len(tree) // 2).bit_length() - 1):
        # Two leaves with one parent write the same sum twice.
        nodes = nodes // 2
        tree[nodes] = tree[2 * nodes] + tree[2 * nodes + 1]


def find(tree: np.ndarray, cumulated: np.ndarray) -> np.ndarray:
    """Indices of the leaves at which the cumulated priorities lie.

    `cumulated` is in [0, sum of all priorities). A leaf without priority is never
    returned, unless all are.
    """
    nodes = np.ones(len(cumulated), dtype=np.int64)
    for _ in range((len(tree) // 2).bit_length() - 1):
        left = tree[2 * nodes]
        # Rounding may lead past the last priority: never into an empty half.
        right = (cumulated >= left) & (tree[2 * nodes + 1] > 0)
        cumulated = np.where(right, cumulated - left, cumulated)
        nodes = 2 * nodes + right
    return nodes - len(tree) // 2
