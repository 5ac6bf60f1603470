"""Methods of sparse training beside pruning by magnitude, in one training loop.

Each is a rule of which weights there are at a step; the network, the optimizer and the
order of the batches are the same for all. NumPy alone: the networks are small.

- `movement`: Sanh et al., "Movement pruning: adaptive sparsity by fine-tuning" (2020).
- `rewound`: Frankle et al., "Linear mode connectivity and the lottery ticket
  hypothesis" (2020): the mask of the trained network, the weights of an early epoch.
- `evolved`: SET of Mocanu et al. (2018), and with gradients RigL of Evci et al.,
  "Rigging the lottery: making all tickets winners" (2020).
- `pruned`: magnitude under the schedule of Zhu and Gupta (2017), for comparison with
  `compression.prune` in the same loop.
"""

import math

import numpy as np


def initial(widths, rng):
    """Kernels and biases of a relu network, He initialization."""
    kernels = [
        rng.normal(size=(m, n)) * math.sqrt(2 / m)
        for m, n in zip(widths[:-1], widths[1:], strict=True)
    ]
    return kernels, [np.zeros(n) for n in widths[1:]]


def outputs(kernels, biases, x, linear=()):
    """The activations of each layer; the last are logits.

    `linear` has the numbers of the layers without relu, beside the last.
    """
    values = [x]
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        y = values[-1] @ kernel + bias
        is_linear = number == len(kernels) - 1 or number in linear
        values.append(y if is_linear else np.maximum(y, 0))
    return values


def gradients(kernels, biases, x, labels, linear=()):
    """Gradients of the mean cross-entropy: `(of kernels, of biases)`."""
    values = outputs(kernels, biases, x, linear)
    logits = values[-1] - values[-1].max(axis=1, keepdims=True)
    delta = np.exp(logits)
    delta /= delta.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    of_kernels, of_biases = [], []
    for number in reversed(range(len(kernels))):
        of_kernels.insert(0, values[number].T @ delta)
        of_biases.insert(0, delta.sum(axis=0))
        if number:
            delta = delta @ kernels[number].T
            if number - 1 not in linear:
                delta *= values[number] > 0
    return of_kernels, of_biases


class Adam:
    """Adam with Keras's defaults, on a list of arrays, in place."""

    def __init__(self, arrays):
        self.first = [np.zeros_like(a) for a in arrays]
        self.second = [np.zeros_like(a) for a in arrays]
        self.step = 0

    def apply(self, arrays, gradients, rate):
        self.step += 1
        scale = math.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        for a, g, m, v in zip(arrays, gradients, self.first, self.second, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            a -= rate * scale * m / (np.sqrt(v) + 1e-7)


def largest(scores, kept):
    """Masks of the `kept` largest scores of all arrays together."""
    flat = np.concatenate([s.ravel() for s in scores])
    threshold = np.partition(flat, -kept)[-kept]
    return [s >= threshold for s in scores]


def _zhu_gupta(size, step, last):
    """The share of weights that is kept at a step, from 1 to `size`."""
    done = min(step / last, 1.0)
    return size + (1 - size) * (1 - done) ** 3


class Loop:
    """Training of one network on one data set.

    Args:
        kernels: List of arrays, copied.
        biases: List of arrays, copied.
        data: `(x, labels)`.
        seed: Of the order of the batches.
        linear: Numbers of layers without relu.
    """

    def __init__(self, kernels, biases, data, seed, linear=(), batch=64):
        self.kernels = [k.copy() for k in kernels]
        self.biases = [b.copy() for b in biases]
        self.x, self.labels = data
        self.batch, self.linear = batch, linear
        self.rng = np.random.default_rng(seed)
        self.optimizer = Adam([*self.kernels, *self.biases])
        self.count = sum(k.size for k in self.kernels)

    def steps(self, epochs):
        """Yields `(step, rows)`."""
        step = 0
        for _ in range(epochs):
            order = self.rng.permutation(len(self.x))
            for start in range(0, len(order), self.batch):
                yield step, order[start : start + self.batch]
                step += 1

    def num_steps(self, epochs):
        return epochs * -(-len(self.x) // self.batch)

    def update(self, rows, rate, masks=None, used=None):
        """One step; masked weights are zero afterwards. Returns the dense gradients."""
        used = self.kernels if used is None else used
        dense, of_biases = gradients(
            used, self.biases, self.x[rows], self.labels[rows], self.linear
        )
        arrays, grads = [*self.kernels, *self.biases], [*dense, *of_biases]
        if masks is not None:
            grads[: len(masks)] = [g * m for g, m in zip(dense, masks, strict=True)]
        self.optimizer.apply(arrays, grads, rate)
        if masks is not None and used is self.kernels:
            for kernel, mask in zip(self.kernels, masks, strict=True):
                kernel *= mask
        return dense

    def kept(self, share):
        return max(round(share * self.count), 1)

    def trained(self, epochs, rate, masks=None):
        for _, rows in self.steps(epochs):
            self.update(rows, rate, masks)
        return self

    def pruned(self, size, epochs, rate):
        """Magnitude, one threshold for all layers."""
        last, masks = 0.7 * self.num_steps(epochs), None
        for step, rows in self.steps(epochs):
            self.update(rows, rate, masks)
            if step % 5 == 0 and step <= last + 5:
                kept = self.kept(_zhu_gupta(size, step, last))
                masks = largest([np.abs(k) for k in self.kernels], kept)
                for kernel, mask in zip(self.kernels, masks, strict=True):
                    kernel *= mask
        return self

    def masks(self):
        return [k != 0 for k in self.kernels]

    def pruned_at_once(self, size):
        """Magnitude, one threshold for all layers, without any training."""
        masks = largest([np.abs(k) for k in self.kernels], self.kept(size))
        self.kernels = [k * m for k, m in zip(self.kernels, masks, strict=True)]
        return self

    def movement(self, size, epochs, rate, score_rate=1e-2):
        """Weights are kept that move away from zero."""
        last = 0.7 * self.num_steps(epochs)
        scores = [np.zeros_like(k) for k in self.kernels]
        score_optimizer = Adam(scores)
        masks = [np.ones_like(k, dtype=bool) for k in self.kernels]
        for step, rows in self.steps(epochs):
            used = [k * m for k, m in zip(self.kernels, masks, strict=True)]
            dense = self.update(rows, rate, masks, used)
            moved = [g * k for g, k in zip(dense, self.kernels, strict=True)]
            if step <= last:
                score_optimizer.apply(scores, moved, score_rate)
                kept = self.kept(_zhu_gupta(size, step, last))
                # Equal scores, as at the beginning, by magnitude.
                ranked = [
                    s + 1e-9 * np.abs(k)
                    for s, k in zip(scores, self.kernels, strict=True)
                ]
                masks = largest(ranked, kept)
        self.kernels = [k * m for k, m in zip(self.kernels, masks, strict=True)]
        return self

    def evolved(self, size, epochs, rates, by_gradient, every=10, share=0.3):
        """Sparse from the start: weak weights are replaced by others.

        Each layer keeps its number of weights, by the rule of Erdos and Renyi: in
        proportion to the sum of its sides, not to their product.
        """
        sides = [sum(k.shape) for k in self.kernels]
        total, counts = self.kept(size), []
        for side, kernel in zip(sides, self.kernels, strict=True):
            counts.append(min(round(total * side / sum(sides)), kernel.size))
        masks = []
        for kernel, kept in zip(self.kernels, counts, strict=True):
            mask = np.zeros(kernel.size, bool)
            mask[self.rng.permutation(kernel.size)[:kept]] = True
            masks.append(mask.reshape(kernel.shape))
            kernel *= masks[-1]
        last = 0.75 * self.num_steps(epochs)
        for step, rows in self.steps(epochs):
            is_late = step >= self.num_steps(epochs) * 2 / 3
            dense = self.update(rows, rates[is_late], masks)
            if step % every == every - 1 and step < last:
                part = share / 2 * (1 + math.cos(math.pi * step / last))
                for number, mask in enumerate(masks):
                    self._replace(number, mask, dense[number], part, by_gradient)
        return self

    def _replace(self, number, mask, gradient, part, by_gradient):
        kernel = self.kernels[number]
        moved = int(part * mask.sum())
        moved = min(moved, int((~mask).sum()))
        if not moved:
            return
        sizes = np.where(mask, np.abs(kernel), np.inf).ravel()
        wanted = np.abs(gradient) if by_gradient else self.rng.random(kernel.shape)
        wanted = np.where(mask, -1.0, wanted).ravel()
        flat = mask.ravel()
        flat[np.argpartition(sizes, moved)[:moved]] = False
        flat[np.argpartition(wanted, -moved)[-moved:]] = True
        mask[...] = flat.reshape(mask.shape)
        kernel *= mask

    def accuracy(self, x, labels):
        guesses = outputs(self.kernels, self.biases, x, self.linear)[-1].argmax(1)
        return float(np.mean(guesses == labels))

    def weights(self):
        return sum(int(np.count_nonzero(k)) for k in self.kernels)
