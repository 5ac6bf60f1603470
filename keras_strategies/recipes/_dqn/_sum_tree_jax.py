"""The sum tree of `_sum_tree` with JAX, for programs that run on the device."""

from typing import Any


def set_leaves(tree: Any, indices: Any, values: Any) -> Any:
    """The tree with other priorities; see `_sum_tree.set_leaves`."""
    nodes = indices + len(tree) // 2
    tree = tree.at[nodes].set(values)
    for _ in range((len(tree) // 2).bit_length() - 1):
        nodes = nodes // 2
        tree = tree.at[nodes].set(tree[2 * nodes] + tree[2 * nodes + 1])
    return tree


def find(tree: Any, cumulated: Any) -> Any:
    """Leaves at cumulated priorities; see `_sum_tree.find`."""
    import jax.numpy as jnp

    nodes = jnp.ones(cumulated.shape, dtype="int32")
    for _ in range((len(tree) // 2).bit_length() - 1):
        left = tree[2 * nodes]
        right = (cumulated >= left) & (tree[2 * nodes + 1] > 0)
        cumulated = jnp.where(right, cumulated - left, cumulated)
        nodes = 2 * nodes + right
    return nodes - len(tree) // 2
