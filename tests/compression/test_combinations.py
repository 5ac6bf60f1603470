"""Quantization-aware training that keeps zeros and clusters."""

import keras
import numpy as np
import pytest

from keras_strategies import compression
from tests.compression.combined import (
    Witness,
    both,
    clustered,
    cnn,
    compiled,
    counts,
    digits,
    kernels,
    pruned,
)
from tests.compression.common import backend, values
from tests.contract.models import jit_modes

layers = keras.layers


def _same_groups(before, after):
    """Whether weights that had one value have one value."""
    _, index = np.unique(before, return_inverse=True)
    _, first = np.unique(before, return_index=True)
    expected = after.reshape(-1)[first][index].reshape(after.shape)
    return np.array_equal(expected, after)


@pytest.mark.parametrize(
    ("preserve", "jit_compile"),
    [
        pytest.param("sparsity", "auto", marks=pytest.mark.slow),
        pytest.param("clusters", "auto", marks=pytest.mark.slow),
        ("both", jit_modes()[-1]),
        *(
            pytest.param("both", jit, marks=pytest.mark.slow)
            for jit in jit_modes()[:-1]
            if backend() != "jax"
        ),
    ],
)
def test_it_holds_after_every_step(preserve, jit_compile):
    (x, y), _ = digits()
    model = both(cnn())
    start = kernels(model)
    spe = 1 if backend() == "torch" else 2
    aware = compiled(
        compression.quantize_aware(model, preserve=preserve),
        jit_compile=jit_compile,
        steps_per_execution=spe,
    )
    witness = Witness()
    aware.fit(x[:128], y[:128], verbose=0, callbacks=[witness])
    assert len(witness.seen) == 4 // spe
    for seen in witness.seen:
        for old, new in zip(start.values(), seen.values(), strict=True):
            if preserve != "clusters":
                np.testing.assert_array_equal(old == 0, new == 0)
            if preserve != "sparsity":
                assert _same_groups(old, new)
                assert np.unique(new).size == np.unique(old).size <= 8
            assert (new[old != 0] != old[old != 0]).any()
    if preserve == "clusters":
        assert all((new != 0).all() for new in witness.seen[-1].values())
    if preserve == "sparsity":
        assert min(counts(aware).values()) > 8


# It is compared with training that does not preserve anything.
@pytest.mark.filterwarnings("ignore:50% of the weights:UserWarning")
def test_a_value_moves_by_the_mean_of_its_updates():
    x = np.random.default_rng(0).normal(size=(8, 12)).astype("float32")
    model = both(keras.Sequential([keras.Input((12,)), layers.Dense(4)]), 5)
    old = values(model.layers[0].kernel)
    new = {}
    for preserve in (None, "sparsity", "clusters", "both"):
        aware = compression.quantize_aware(model, preserve=preserve)
        aware.compile(keras.optimizers.SGD(0.1), "mse")
        aware.train_on_batch(x, x[:, :4])
        [new[preserve]] = kernels(aware).values()
    update = new[None] - old
    mean = np.zeros_like(old)
    for value in np.unique(old):
        mean[old == value] = update[old == value].mean()
    expected = {
        "sparsity": np.where(old == 0, 0, old + update),
        "clusters": old + mean,
        "both": np.where(old == 0, 0, old + mean),
    }
    for preserve, kernel in expected.items():
        np.testing.assert_allclose(new[preserve], kernel, atol=1e-6)


def test_saved_and_loaded_it_goes_on(tmp_path):
    (x, y), _ = digits()
    aware = compiled(compression.quantize_aware(both(cnn()), preserve="both"))
    aware.fit(x[:128], y[:128], shuffle=False, verbose=0)
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    before = list(kernels(loaded).values())
    for model in (aware, loaded):
        model.fit(x[:128], y[:128], shuffle=False, verbose=0)
    after = list(kernels(loaded).values())
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old == 0, new == 0)
        assert _same_groups(old, new) and (old != new).any()
    for ours, theirs in zip(kernels(aware).values(), after, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_strip_ends_it_for_good(tmp_path):
    (x, y), _ = digits()
    aware = compiled(compression.quantize_aware(both(cnn()), preserve="both"))
    before = counts(aware)
    with pytest.raises(ValueError, match="already_preserved"):
        compression.prune(aware, compression.ConstantSparsity(0.5, 0))
    aware.fit(x[:64], y[:64], verbose=0)
    compression.strip(aware)
    assert counts(aware) == before
    aware.save(tmp_path / "aware.keras")
    for model in (aware, keras.models.load_model(tmp_path / "aware.keras")):
        with pytest.raises(ValueError, match="must be under pruning or clustering"):
            compression.strip(model)
        model.fit(x[:64], y[:64], verbose=0)
        assert min(counts(model).values()) > 8


@pytest.mark.parametrize("load", [pytest.param(False, marks=pytest.mark.slow), True])
def test_optimizers_that_average_clip_and_accumulate(load, tmp_path):
    (x, y), _ = digits()
    optimizer = keras.optimizers.AdamW(
        1e-3,
        use_ema=True,
        ema_momentum=0.8,
        gradient_accumulation_steps=2,
        global_clipnorm=0.5,
    )
    aware = compression.quantize_aware(both(cnn()), preserve="both")
    before, zeros = counts(aware), [k == 0 for k in kernels(aware).values()]
    compiled(aware, optimizer=optimizer)
    if load:
        aware.fit(x[:64], y[:64], verbose=0)
        aware.save(tmp_path / "aware.keras")
        aware = keras.models.load_model(tmp_path / "aware.keras")
    aware.fit(x[:256], y[:256], verbose=0)
    assert list(counts(aware).values()) == list(before.values())
    for mask, kernel in zip(zeros, kernels(aware).values(), strict=True):
        np.testing.assert_array_equal(mask, kernel == 0)


def test_a_constraint_of_the_layer_holds_too():
    constraint = keras.constraints.NonNeg()
    dense = layers.Dense(6, kernel_constraint=constraint, name="dense")
    model = keras.Sequential([keras.Input((12,)), dense])
    dense.kernel.assign(np.abs(values(dense.kernel)))
    aware = compression.quantize_aware(both(model), preserve="both")
    aware.compile(keras.optimizers.SGD(1.0), "mse")
    x = np.ones((8, 12), "float32")
    for _ in range(3):
        aware.train_on_batch(x, -np.ones((8, 6)))
        [kernel] = kernels(aware).values()
        assert kernel.min() > -1e-6 and np.unique(kernel).size <= 8
    compression.strip(aware)
    inner = aware.get_layer("dense").layer.kernel
    assert isinstance(inner.constraint, keras.constraints.NonNeg)


@pytest.mark.slow
def test_values_of_each_channel():
    def make():
        return keras.Sequential(
            [keras.Input((8, 8, 4)), layers.Conv2D(6, 3, name="conv")]
        )

    model = clustered(make(), 4, per_channel=True)
    aware = compression.quantize_aware(model, preserve="clusters")
    aware.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype("float32")
    aware.fit(x, np.zeros((16, 6, 6, 6)), batch_size=4, verbose=0)
    [row] = compression.cluster_report(aware).rows
    assert row["channel_values"] == 4 and row["values"] > 12


def _sequence_model():
    inputs = keras.Input((6,))
    x = layers.Embedding(30, 8)(inputs)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True))(x)
    x = layers.Conv1D(6, 3)(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(7)(x))


@pytest.mark.slow
def test_every_kind_of_layer():
    model = both(_sequence_model(), 5)
    before = counts(model)
    assert len(before) == 11
    aware = compression.quantize_aware(model, preserve="both")
    aware.compile("adam", "mse")
    tokens = np.random.default_rng(0).integers(0, 30, (16, 6))
    aware.fit(tokens, np.ones((16, 4, 7)), batch_size=4, verbose=0)
    assert list(counts(aware).values()) == list(before.values())
    old = list(kernels(model).values())
    for a, b in zip(old, kernels(aware).values(), strict=True):
        np.testing.assert_array_equal(a == 0, b == 0)
        assert (a != b).any()


@pytest.mark.slow
def test_separable_and_nested_layers():
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SeparableConv2D(6, 3, name="separable"),
            layers.BatchNormalization(),
        ],
        name="encoder",
    )
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Dense(4)(encoder(inputs)))
    both(model, 5)
    aware = compression.quantize_aware(model, preserve="both")
    aware.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("float32")
    aware.fit(x, np.zeros((16, 6, 6, 4)), batch_size=4, verbose=0)
    found = counts(aware)
    assert sorted(found.values()) == [5, 5], found


def test_layers_without_zeros_or_clusters_train_freely():
    (x, y), _ = digits()
    model = cnn()
    model.compile("sgd", "mse")
    compression.strip(compression.cluster(model, 8, include="hidden"))
    aware = compiled(compression.quantize_aware(model, preserve="clusters"))
    aware.fit(x[:128], y[:128], verbose=0)
    found = {path.split("/")[0]: n for path, n in counts(aware).items()}
    assert found["hidden"] == 8 and found["logits"] > 100


@pytest.mark.slow
def test_a_kernel_that_is_zero_throughout_still_learns():
    (x, y), _ = digits()
    model = pruned(cnn())
    logits = model.get_layer("logits")
    logits.kernel.assign(np.zeros(logits.kernel.shape))
    aware = compiled(compression.quantize_aware(model, preserve="sparsity"))
    aware.fit(x[:128], y[:128], verbose=0)
    assert values(aware.get_layer("logits").layer.kernel).any()


@pytest.mark.parametrize("scheme", ["int8", "int8_per_tensor", {"conv": 4}])
@pytest.mark.parametrize("gamma", [1.0, -0.5])
def test_channels_of_a_kernel_round_to_the_same_integers(scheme, gamma):
    """Also with BatchNormalization folded in; a negative gamma mirrors them."""
    model = both(cnn(), 6)
    norm = model.get_layer("batch_normalization")
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.5, 2, 8)
    scales[0] *= gamma
    norm.gamma.assign(scales)
    norm.moving_variance.assign(rng.uniform(0.5, 2, 8))
    aware = compression.quantize_aware(model, scheme=scheme, preserve="both")
    folded = aware.get_layer("conv")
    assert (folded.batch_norm is None) == (scheme == "int8_per_tensor")
    kernel = keras.ops.convert_to_tensor(folded.layer.kernel)
    spread = np.ones(8, "float32")
    if folded.batch_norm is not None:
        spread = scales / np.sqrt(values(norm.moving_variance) + norm.epsilon)
    factor = keras.ops.convert_to_tensor(spread.astype("float32"))
    limits = folded._shared_limit(0, kernel, factor)
    for training in (True, False):
        got = folded._round(kernel * factor, (-1,), True, training, limits)
        steps = 7 if scheme == {"conv": 4} else 127
        limit = np.abs(values(folded.layer.kernel)).max() * np.abs(spread)
        integers = keras.ops.convert_to_numpy(got) / (limit / steps)
        np.testing.assert_allclose(integers, np.round(integers), atol=1e-3)
        number = np.unique(np.round(integers)).size
        if gamma > 0 or folded.batch_norm is None:
            assert number <= 6
        else:
            assert number <= 11


@pytest.mark.parametrize(
    ("make", "preserve", "message"),
    [
        (cnn, "sparsity", r"must have zeros.*'conv: 0.0% zeros'.*`prune`"),
        (cnn, "clusters", r"share values.*conv: 72 values in 72 weights.*`cluster"),
        (cnn, "both", "must have zeros"),
        (lambda: pruned(cnn()), "clusters", "conv: 37 values in 72 weights"),
        (lambda: pruned(cnn()), "both", 'share values.*preserve="sparsity"'),
        (lambda: clustered(cnn()), "both", 'zeros.*preserve="clusters"'),
        (cnn, "zeros", "must be one of 'sparsity', 'clusters', 'both'"),
        (cnn, True, "must be one of"),
    ],
)
def test_nothing_to_keep_is_refused(make, preserve, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        compression.quantize_aware(make(), preserve=preserve)


def test_a_clone_keeps_too():
    aware = compression.quantize_aware(both(cnn()), preserve="both")
    clone = keras.models.clone_model(aware)
    clone.set_weights(aware.get_weights())
    before = counts(aware)
    (x, y), _ = digits()
    compiled(clone, optimizer=keras.optimizers.SGD(0.1)).fit(x[:64], y[:64], verbose=0)
    assert list(counts(clone).values()) == list(before.values())


@pytest.mark.slow
def test_combinations_learn_as_well_as_pruning_alone():
    (x, y), test = digits()
    drops = {name: [] for name in ("sparsity", "clusters", "both")}
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = compiled(cnn(), 3e-3)
        model.fit(x, y, epochs=8, verbose=0)
        reference = model.evaluate(*test, verbose=0)[1]
        compiled(model)
        compression.prune(model, compression.ConstantSparsity(0.6, 0, frequency=1))
        model.fit(x, y, epochs=3, verbose=0)
        compiled(compression.strip(model))
        compression.cluster(model, 16, preserve_sparsity=True)
        model.fit(x, y, epochs=2, verbose=0)
        compression.strip(model)
        for preserve, found in drops.items():
            aware = compiled(compression.quantize_aware(model, preserve=preserve), 3e-4)
            aware.fit(x, y, epochs=3, verbose=0)
            found.append(reference - aware.evaluate(*test, verbose=0)[1])
    for preserve, found in drops.items():
        assert np.mean(found) < 0.02, (preserve, found)
