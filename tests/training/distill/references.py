"""The formulas of the papers in NumPy, written anew: loops, float64."""

import numpy as np


def softmax(values):
    values = np.asarray(values, "float64")
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def kl(p, q):
    return np.sum(p * (np.log(p) - np.log(q)), axis=-1)


def hinton(student, teacher, temperature):
    """`T**2 KL(p_t || p_s)` for each sample (Hinton et al., section 2)."""
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return temperature**2 * kl(p, q)


def decoupled(student, teacher, labels, temperature, target, others):
    """Equations 4 to 7 of Zhao et al., sample by sample."""
    result = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        p, q = softmax(t / temperature), softmax(s / temperature)
        first = kl(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        rest = [i for i in range(len(s)) if i != y]
        second = kl(softmax(t[rest] / temperature), softmax(s[rest] / temperature))
        result.append(temperature**2 * (target * first + others * second))
    return np.array(result)


def attention_map(features):
    """`vec(mean_c |F|**2)` over its norm (Zagoruyko and Komodakis, equation 2)."""
    energy = np.mean(features**2, axis=-1).reshape(len(features), -1)
    return energy / np.linalg.norm(energy, axis=1, keepdims=True)


def attention(student, teacher):
    return np.mean((attention_map(student) - attention_map(teacher)) ** 2, axis=1)


def huber(x):
    return np.where(np.abs(x) <= 1, 0.5 * x**2, np.abs(x) - 0.5)


def distances(features):
    """`||f_i - f_j|| / mu` (Park et al., equation 6), `mu` over positive distances."""
    n = len(features)
    d = np.array(
        [
            [np.linalg.norm(features[i] - features[j]) for j in range(n)]
            for i in range(n)
        ]
    )
    return d / d[d > 0].mean()


def angles(features):
    """The cosine of the angle at `i` between `j` and `k` (equation 8)."""
    n = len(features)
    result = np.zeros((n, n, n))
    for i in range(n):
        for j in range(n):
            for k in range(n):
                a, b = features[j] - features[i], features[k] - features[i]
                if np.linalg.norm(a) > 0 and np.linalg.norm(b) > 0:
                    result[i, j, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return result


def relational(student, teacher, distance, angle):
    return (
        distance * huber(distances(student) - distances(teacher)).mean()
        + angle * huber(angles(student) - angles(teacher)).mean()
    )
