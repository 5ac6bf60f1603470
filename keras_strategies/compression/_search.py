"""What a search tries, and in which order."""

import time

from keras_strategies._internal.model_graph import clone_model
from keras_strategies.compression._search_bench import Candidate
from keras_strategies.compression.clustering import cluster
from keras_strategies.compression.constant_sparsity import ConstantSparsity
from keras_strategies.compression.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.pruning import prune
from keras_strategies.compression.quantize_aware import quantize_aware
from keras_strategies.compression.stripping import strip

SPARSITIES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
CLUSTERS = (64, 32, 16, 8, 4)  # from mild to strong
# Formats of numbers tried in turn; "int8 QAT" is int8 after training for it.
FORMATS = ("int8", "int8 QAT", "dynamic", "float16")

# Which part of a fine-tuning masks are renewed in, and how often.
_PRUNED, _RENEWALS = 0.7, 20
# Learning rates of the later steps, relative to that of pruning.
_CLUSTER_RATE, _QAT_RATE = 0.3, 0.1
# A sparsity change in fewer steps than this is made at once.
_FEW_STEPS = 10


def schedule(start, end, steps):
    """A pruning schedule for `steps` steps that ends where it should."""
    if steps < _FEW_STEPS or end <= start:
        return ConstantSparsity(end, begin_step=0, frequency=1)
    frequency = max(int(_PRUNED * steps) // _RENEWALS, 1)
    last = int(_PRUNED * steps) // frequency * frequency
    return PolynomialSparsity(start, end, 0, last, frequency=frequency)


def bisect(levels, first, attempt, left):
    """The strongest level that succeeds, if all up to it do; `None` for none.

    Args:
        levels: From mild to strong.
        first: Index to start at.
        attempt: A function of a level that returns its success.
        left: A function that says whether another attempt may be made.
    """
    low, high, middle = -1, len(levels), first
    while low + 1 < high and left():
        if attempt(levels[middle]):
            low = middle
        else:
            high = middle
        middle = (low + high) // 2
    return levels[low] if low >= 0 else None


class SizeSearch:
    """Sparsity, then shared values, each as strong as the budget allows.

    Args:
        bench: The `Bench`.
        tuner: The `Tuner`.
    """

    def __init__(self, bench, tuner):
        self.bench, self.tuner = bench, tuner
        self.work = clone_model(bench.model)
        self.start = self.work.get_weights()
        self.format = FORMATS[0]
        # Sparsity and weights of the models that kept to the budget, in order.
        self.good = [(0.0, self.start)]
        self.nearly = None  # candidate over the budget that lost least, its weights
        self.failed = {}  # sparsity -> that of the weights it was tried from

    def run(self):
        """Tries candidates until nothing is left to try."""
        if not self._choose_format():
            return
        bisect(SPARSITIES, 4, self._sparser, lambda: self.bench.left)
        self._climb()
        for sparsity, weights in self.good[:-3:-1]:
            attempt = self._sharing(sparsity, weights)
            if bisect(CLUSTERS, 2, attempt, lambda: self.bench.left):
                break
        self._rescue()

    def model(self):
        """The Keras model of the best candidate, compiled like the given one."""
        model = self.bench.kept
        if isinstance(model, list):
            self.work.set_weights(model)
            model = self.work
        self.tuner.compile_as_given(model)
        return model

    def _choose_format(self):
        """The first format of numbers that the plain model keeps to the budget in."""
        for self.format in FORMATS:
            if self._measured(Candidate(self.format), self.start).met:
                return True
        return False

    def _sparser(self, sparsity):
        began, weights = self.good[-1]
        started = time.monotonic()
        self._begin(weights, 1.0)
        plan = schedule(began, sparsity, self.tuner.steps)
        prune(self.work, plan, scope="global")
        self.tuner.fit(self.work)
        met = self._finish(Candidate(self.format, sparsity), started)
        if not met:
            self.failed[sparsity] = began
        return met

    def _climb(self):
        """Tries the next levels again from weights that are nearly as sparse."""
        for sparsity in SPARSITIES:
            began = self.good[-1][0]
            if sparsity <= began:
                continue
            tried = self.failed.get(sparsity) == began
            if tried or not self.bench.left or not self._sparser(sparsity):
                return

    def _sharing(self, sparsity, weights):
        def attempt(n):
            started = time.monotonic()
            self._begin(weights, _CLUSTER_RATE)
            cluster(self.work, n, preserve_sparsity=True)
            self.tuner.fit(self.work)
            return self._finish(Candidate(self.format, sparsity, n), started)

        return attempt

    def _begin(self, weights, factor):
        self.work.set_weights(weights)
        self.tuner.compile(self.work, factor)

    def _finish(self, candidate, started):
        strip(self.work)
        weights = self.work.get_weights()
        candidate.seconds = time.monotonic() - started
        if self._measured(candidate, weights).met:
            if candidate.clusters is None:
                self.good.append((candidate.sparsity, weights))
        elif self._gains(candidate):
            known = self.nearly
            if not known or not self._gains(known[0]) or candidate.drop < known[0].drop:
                self.nearly = candidate, weights
        return candidate.met

    def _gains(self, candidate):
        """Whether a candidate would be the best if only it lost less."""
        size, best = candidate.gzipped_bytes, self.bench.best
        return size is not None and not (best.met and best.gzipped_bytes <= size)

    def _rescue(self):
        """Trains the candidate that nearly kept to the budget for int8."""
        candidate, weights = self.nearly or (None, None)
        useful = candidate is not None and self._gains(candidate)
        if self.format == "int8" and useful and self.bench.left:
            self.format = "int8 QAT"
            again = Candidate(self.format, candidate.sparsity, candidate.clusters)
            self._measured(again, weights)

    def _measured(self, candidate, weights):
        self.work.set_weights(weights)
        return measured(self.bench, self.tuner, self.work, candidate, weights)


def measured(bench, tuner, model, candidate, keep):
    """Measures `candidate`, for "int8 QAT" after training `model` for int8."""
    if candidate.quantization != "int8 QAT":
        return bench.measured(model, candidate, keep)
    started = time.monotonic()
    preserve = "sparsity" if candidate.sparsity else None
    try:
        aware = quantize_aware(
            model, preserve="both" if candidate.clusters else preserve
        )
    except ValueError as error:  # no graph, or layers without an integer form
        return bench.failed(candidate, error)
    tuner.compile(aware, _QAT_RATE)
    tuner.fit(aware)
    candidate.seconds += time.monotonic() - started
    return bench.measured(aware, candidate, aware)
