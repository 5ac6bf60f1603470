"""Many trainings: each member as trained alone; errors; ensembles."""

import functools

import keras
import numpy as np
import pytest

from keras_strategies import export, training
from keras_strategies.training._many import fit_many, one_after_another
from keras_strategies.training._many.initial_draws import InitialDraws
from keras_strategies.training._many.seeds import Seeds

kl = keras.layers
IS_JAX = keras.backend.backend() == "jax"
ENGINES = ["one_after_another"] + ["one_program"] * IS_JAX
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 6)).astype("float32")
Y = RANDOM.integers(0, 3, 50)


def build():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            kl.Dense(
                8, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)
            ),
            kl.BatchNormalization(),
            kl.Dropout(0.25),
            kl.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def alone(variant, fit, make=build):
    keras.utils.set_random_seed(variant["seed"])
    model = make()
    if "learning_rate" in variant:
        model.optimizer.learning_rate = variant["learning_rate"]
    for layer in model.layers:
        if isinstance(layer, kl.Dropout) and "dropout" in variant:
            layer.rate = variant["dropout"]
        if getattr(layer, "kernel_regularizer", None):
            for factor in {"l1", "l2"} & variant.keys():
                setattr(layer.kernel_regularizer, factor, variant[factor])
    if "weight_decay" in variant:
        model.optimizer.weight_decay = variant["weight_decay"]
    return model, model.fit(**fit, verbose=0).history


VARIANTS = [
    {"seed": 3},
    {"seed": 3, "learning_rate": 0.1},
    {"seed": 5, "dropout": 0.6, "l2": 0.1},
]


@pytest.mark.parametrize("engine", ENGINES)
def test_members_are_as_trained_alone(engine):
    fit = {"epochs": 2, "batch_size": 16, "shuffle": False}
    result = training.fit_many(
        build, VARIANTS, (X, Y), validation_data=(X[:20], Y[:20]), engine=engine, **fit
    )
    assert result.engine == engine and len(result) == 3
    fit.update(x=X, y=Y, validation_data=(X[:20], Y[:20]))
    for number, variant in enumerate(VARIANTS):
        model, history = alone(variant, fit)
        for mine, other in zip(
            result.model(number).get_weights(), model.get_weights(), strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=1e-5)
        assert sorted(result.histories[number]) == sorted(history)
        for name, values in history.items():
            np.testing.assert_allclose(
                result.histories[number][name], values, atol=1e-5, err_msg=name
            )
    rows = result.rows
    assert rows[2]["dropout"] == 0.6 and rows[1]["epochs"] == 2
    assert rows[0]["val_loss"] == result.histories[0]["val_loss"][-1]
    best = result.best("val_accuracy")
    assert rows[best]["val_accuracy"] == max(row["val_accuracy"] for row in rows)


def penalized():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            kl.Dropout(0.25),
            kl.Dense(8, kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-3)),
            kl.Dense(3, "softmax"),
        ]
    )
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


NUMBERS = [
    {"seed": 3, "dropout": 0.1, "l1": 1e-2, "l2": 0.3, "weight_decay": 0.2},
    {"seed": 4, "dropout": 0.7, "l1": 3e-1, "l2": 0.1, "weight_decay": 0.7},
    {"seed": 4, "dropout": 0.0, "l1": 3e-1, "l2": 0.1, "weight_decay": 0.7},
    {"seed": 5, "dropout": 0.3, "l2": 0.2},
]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Torch traces nothing")
@pytest.mark.parametrize("engine", ENGINES)
def test_members_of_other_numbers_share_a_program(engine, monkeypatch, tmp_path):
    traced, call = [], kl.Dense.call

    @functools.wraps(call)
    def counted(*args, **kwargs):
        traced.append(1)
        return call(*args, **kwargs)

    class Saved(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.layers[0].rate)
            self.model.save(tmp_path / f"{seen[-1]}.keras")

    fit = {"epochs": 1, "batch_size": 25, "shuffle": False}
    seen, counts = [], []
    with monkeypatch.context() as patch:
        patch.setattr(kl.Dense, "call", counted)
        for variants in (NUMBERS[::2], NUMBERS):
            count = 1 if variants is NUMBERS else 0
            result = training.fit_many(
                penalized, variants, (X, Y), engine=engine,
                callbacks=lambda _, count=count: [Saved() for _ in range(count)], **fit
            )  # fmt: skip
            counts.append(len(traced))
            traced.clear()
    assert counts[0] == counts[1]  # a program with dropout, one without
    for number, variant in enumerate(NUMBERS):
        model, history = alone(variant, {"x": X, "y": Y, **fit}, penalized)
        for mine, other in zip(
            result.model(number).get_weights(), model.get_weights(), strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=1e-5)
        losses = result.histories[number]["loss"], history["loss"]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    # Callbacks and files have numbers, and no variables in their place.
    assert sorted(seen) == [0.0, 0.1, 0.3, 0.7]
    loaded = keras.models.load_model(tmp_path / "0.7.keras")
    assert loaded.layers[1].kernel_regularizer.l2 == 0.1
    assert loaded.optimizer.weight_decay == 0.7
    assert int(loaded.optimizer.iterations) == 2
    for mine, other in zip(
        loaded.get_weights(), result.model(1).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("best", [None, "alone"] if IS_JAX else [None])
def test_members_are_the_same_by_the_way_that_is_chosen(best, monkeypatch):
    """However long members are: the limits are set so that a way is chosen here."""
    monkeypatch.setattr(one_after_another, "MIN_STEPS_TO_MEASURE", 1)
    monkeypatch.setattr(fit_many, "_MIN_STEPS_OF_ONE_PROGRAM", 1)
    seconds = fit_many._seconds

    def measured(start, group, *args):
        program = seconds(start, group, *args)[2]
        return float(len(group.variants) > 1), 0.0, program

    if best == "alone":  # and another program is compiled, as it costs nothing
        monkeypatch.setattr(fit_many, "_seconds", measured)
    traced = []

    def counted(self, inputs):
        traced.append(inputs.shape)
        return inputs

    monkeypatch.setattr(kl.Identity, "call", counted)

    def make():
        layers = [keras.Input((6,)), kl.Dense(4), kl.Identity(), kl.Dense(3, "softmax")]
        model = keras.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    variants = [{"seed": 3}, {"seed": 4}, {"seed": 5, "learning_rate": 0.1}]
    fit = {"epochs": 4, "batch_size": 10, "shuffle": False}
    result = training.fit_many(make, variants, (X, Y), **fit)
    calls = len(traced)
    model, history = alone(variants[2], {"x": X, "y": Y, **fit}, make)
    for mine, other in zip(
        result.model(2).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    np.testing.assert_allclose(result.histories[2]["loss"], history["loss"], atol=1e-5)
    if IS_JAX:  # a program of three members, and one of a single one
        engine = "one_program" if best is None else "one_after_another"
        assert result.engine == engine
        assert calls <= (6 if best is None else 12)


@pytest.mark.skipif(not IS_JAX, reason="only JAX trains members side by side")
def test_draws_of_an_evaluation_are_kept_side_by_side():
    """A recurrent layer draws for its dropout in an evaluation too."""

    def make():
        return _compiled(
            keras.Sequential([keras.Input((3, 2)), kl.GRU(3, dropout=0.5), kl.Dense(1)])
        )

    fit = {"epochs": 2, "batch_size": 50, "shuffle": False}
    fit["validation_data"] = data = X.reshape(50, 3, 2), Y
    result = training.fit_many(make, 2, data, engine="one_program", **fit)
    model, _ = alone({"seed": 1}, {"x": data[0], "y": Y, **fit}, make)
    for mine, other in zip(
        result.model(1).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_shuffled_rows_are_those_of_the_seed():
    result = training.fit_many(
        build, [{"seed": 1}, {"seed": 2}], (X, Y), epochs=2, engine="one_after_another"
    )
    model, _ = alone({"seed": 2}, {"x": X, "y": Y, "epochs": 2})
    for mine, other in zip(
        result.model(1).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_member_stops_by_itself_and_stays(engine):
    class Stop(keras.callbacks.Callback):
        def __init__(self, last):
            super().__init__()
            self.last = last

        def on_epoch_end(self, epoch, logs=None):
            self.weights = [np.array(w) for w in self.model.get_weights()]
            self.model.stop_training = epoch == self.last

    made = []

    def callbacks(settings):
        made.append(Stop(settings["seed"]))
        return [made[-1]]

    result = training.fit_many(
        build, 3, (X, Y), epochs=4, callbacks=callbacks, engine=engine
    )
    assert [row["epochs"] for row in result.rows] == [1, 2, 3]
    for number, stop in enumerate(made):
        assert len(result.histories[number]["loss"]) == number + 1
        for mine, other in zip(
            result.model(number).get_weights(), stop.weights, strict=True
        ):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("engine", ENGINES)
def test_callbacks_see_and_change_their_own_member(engine):
    def callbacks(settings):
        rate = 10.0 ** -settings["seed"]
        return [
            keras.callbacks.LearningRateScheduler(lambda epoch: rate),
            keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
        ]

    result = training.fit_many(
        build, [{"seed": 1}, {"seed": 9}], (X, Y), epochs=2, callbacks=callbacks,
        shuffle=False, engine=engine,
    )  # fmt: skip
    rates = [history["learning_rate"] for history in result.histories]
    np.testing.assert_allclose(rates, [[0.1, 0.1], [1e-9, 1e-9]], rtol=1e-5)
    moved = [np.abs(result.model(n).get_weights()[0]).sum() for n in (0, 1)]
    keras.utils.set_random_seed(9)
    start = np.abs(build().get_weights()[0]).sum()
    assert moved[1] == pytest.approx(start, rel=1e-6) and moved[0] != moved[1]


def test_initial_values_of_a_seed_without_construction():
    calls = []

    def make():
        calls.append(1)
        x = inputs = keras.Input((5, 4))
        x = kl.Bidirectional(kl.GRU(3))(x)
        return _compiled(keras.Model(inputs, kl.Dense(2)(kl.Dropout(0.1)(x))))

    draws = InitialDraws(make, 7)
    assert draws.is_recorded
    draws.assign(11)
    after = np.random.random(), keras.random.uniform(())
    assert len(calls) == 1
    values = [np.array(keras.ops.convert_to_numpy(v)) for v in draws.model.variables]
    keras.utils.set_random_seed(11)
    other = make()
    assert after == (np.random.random(), keras.random.uniform(()))
    for mine, variable in zip(values, other.variables, strict=True):
        np.testing.assert_array_equal(mine, keras.ops.convert_to_numpy(variable))


@pytest.mark.tensorflow
def test_seeds_one_after_the_other_are_as_set_alone():
    import tensorflow as tf

    def drawn():
        return [
            float(tf.random.normal(())),
            float(keras.random.normal(())),
            next(iter(tf.data.Dataset.range(99).shuffle(99))).numpy(),
            np.random.random(),
        ]

    def alone(seed):
        keras.utils.set_random_seed(seed)
        return drawn()

    expected = {seed: alone(seed) for seed in (1, 2)}
    seeds = Seeds()
    for seed in (1, 2, 2, 1):
        seeds.set(seed)
        assert drawn() == expected[seed]


def test_a_function_that_draws_otherwise_is_called_for_each_seed():
    def make():
        model = build()
        model.layers[0].kernel.assign(np.random.normal(size=(6, 8)))
        return model

    result = training.fit_many(make, [{"seed": 1}, {"seed": 4}], (X, Y))
    assert "was called for each member" in result.notes[-1]
    model, _ = alone({"seed": 4}, {"x": X, "y": Y}, make)
    np.testing.assert_allclose(
        result.model(1).get_weights()[0], model.get_weights()[0], atol=1e-5
    )


def test_a_function_that_draws_constants_is_refused():
    def make():
        model = build()
        factor = np.random.random()
        model.compile("sgd", lambda y, p: factor * keras.ops.mean(p, axis=-1))
        return model

    if keras.backend.backend() == "torch":  # where nothing is compiled
        notes = training.fit_many(make, 2, (X, Y)).notes
        assert any("by themselves" in note for note in notes)
        return
    with pytest.raises(ValueError, match="constants of the compiled step"):
        training.fit_many(make, 2, (X, Y))


class Noisy(kl.Layer):
    """Multiplies by what a function draws, which Keras does not know of."""

    def __init__(self, draw, **kwargs):
        super().__init__(**kwargs)
        self.draw = draw

    def call(self, inputs):
        return inputs * keras.ops.cast(self.draw(), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "draw": self.draw}


def _numpy_draw():
    return np.random.uniform


def _tensorflow_draw():
    import tensorflow as tf

    return lambda: tf.random.normal(())


def _generator_draw():
    import tensorflow as tf

    generator = tf.random.Generator.from_seed(7)
    return lambda: generator.normal(())


@pytest.mark.parametrize(
    ("make_draw", "note"),
    [
        (_numpy_draw, "generator of NumPy"),
        pytest.param(_tensorflow_draw, "Normal", marks=pytest.mark.tensorflow),
        pytest.param(_generator_draw, None, marks=pytest.mark.tensorflow),
    ],
)
def test_draws_that_keras_does_not_know_of_are_those_of_each_seed(make_draw, note):
    def make():
        return _compiled(
            keras.Sequential([keras.Input((6,)), kl.Dense(1), Noisy(make_draw())])
        )

    fit = {"epochs": 2, "batch_size": 25, "shuffle": False}
    result = training.fit_many(make, [{"seed": 1}, {"seed": 4}], (X, Y), **fit)
    model, _ = alone({"seed": 4}, {"x": X, "y": Y, **fit}, make)
    for mine, other in zip(
        result.model(1).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    assert any("by themselves" in text for text in result.notes) == (note is not None)
    assert note is None or any(note in text for text in result.notes)


def test_data_sets_and_the_progress_bar(capsys):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return X[index * 10 : index * 10 + 10], Y[index * 10 : index * 10 + 10]

    result = training.fit_many(build, 2, Batches(), shuffle=False, verbose=1)
    assert "2/2" in capsys.readouterr().out
    model, _ = alone({"seed": 1}, {"x": Batches(), "shuffle": False})
    np.testing.assert_allclose(
        result.model(1).get_weights()[0], model.get_weights()[0], atol=1e-5
    )


def _equal_alone(result, number, make, variant, fit, change=lambda model: None):
    keras.utils.set_random_seed(variant["seed"])
    model = make()
    change(model)
    model.fit(**fit, verbose=0)
    for mine, other in zip(
        result.model(number).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


FIT = {"epochs": 2, "batch_size": 25, "shuffle": False}


def test_parts_that_all_models_have_begin_anew():
    shared = kl.Dense(4)
    shared.build((None, 6))
    first = np.array(shared.get_weights()[0])

    def make():
        return _compiled(keras.Sequential([keras.Input((6,)), shared, kl.Dense(1)]))

    result = training.fit_many(make, [{"seed": 1}, {"seed": 1}], (X, Y), **FIT)
    for mine, other in zip(
        result.model(0).get_weights(), result.model(1).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    assert np.abs(result.model(0).get_weights()[0] - first).max() > 1e-3
    model = make()
    with pytest.raises(ValueError, match="a new model each time"):
        training.fit_many(lambda: model, 2, (X, Y))


def test_what_a_callback_does_to_a_member_is_not_what_the_next_begins_with():
    class Louder(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].stddev = 0.9
            self.model.make_train_function(force=True)

    def make():
        layers = [keras.Input((6,)), kl.GaussianNoise(0.1), kl.Dense(1)]
        return _compiled(keras.Sequential(layers))

    call = {"callbacks": lambda _: [Louder()], **FIT}
    result = training.fit_many(make, [{"seed": 1}, {"seed": 1}], (X, Y), **call)
    assert any("callbacks change more" in note for note in result.notes)
    np.testing.assert_array_equal(
        result.model(0).get_weights()[0], result.model(1).get_weights()[0]
    )
    if IS_JAX:
        with pytest.raises(ValueError, match="callbacks"):
            training.fit_many(make, 2, (X, Y), engine="one_program", **call)
        with pytest.raises(ValueError, match="share a callback"):
            one = keras.callbacks.EarlyStopping("loss")
            call["callbacks"] = lambda _: [one]
            training.fit_many(make, 2, (X, Y), engine="one_program", **call)


def test_code_that_keeps_count_counts_for_each_member():
    class Count(kl.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.calls = 0

        def call(self, inputs):
            self.calls += 1
            return inputs * min(1.0, self.calls / 20)

    def make():
        return _compiled(keras.Sequential([keras.Input((6,)), Count(), kl.Dense(1)]))

    result = training.fit_many(make, 2, (X, Y), **FIT)
    _equal_alone(result, 1, make, {"seed": 1}, {"x": X, "y": Y, **FIT})


def test_all_kinds_of_regularizers_and_the_numbers_of_a_member():
    penalty = keras.regularizers.L2

    def make():
        layers = [
            keras.Input((6,)),
            kl.BatchNormalization(gamma_regularizer=penalty(0.1)),
            kl.PReLU(alpha_regularizer=penalty(0.1)),
            kl.Dropout(np.float32(0.2)),
            kl.Dense(1, bias_regularizer=penalty(0.1)),
        ]
        return _compiled(keras.Sequential(layers))

    def change(model):
        model.layers[0].gamma_regularizer.l2 = 2.0
        model.layers[1].alpha_regularizer.l2 = 2.0
        model.layers[2].rate = 0.4
        model.layers[3].bias_regularizer.l2 = 2.0

    variants = [{"seed": 2, "l2": 2.0, "dropout": 0.4, "learning_rate": 0.05}, {}]
    fit = {**FIT, "validation_data": (X, Y), "validation_split": 0.5}
    result = training.fit_many(make, variants, (X, Y), **fit)
    model = result.model(0)
    assert model.evaluate(X, Y, 25, verbose=0) == pytest.approx(
        result.rows[0]["val_loss"], rel=1e-5
    )
    assert model.layers[2].rate == 0.4
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert float(result.model(1).optimizer.learning_rate) == pytest.approx(0.01)

    def changed(model):
        change(model)
        model.optimizer.learning_rate = 0.05

    # Beside `validation_data` no rows are split off, as in `fit`.
    _equal_alone(result, 0, make, variants[0], {"x": X, "y": Y, **fit}, changed)


def test_layers_that_share_a_regularizer_are_not_told_apart():
    def make():
        shared = keras.regularizers.L2(0.1)
        layers = [kl.Dense(2, kernel_regularizer=shared, name=name) for name in "ab"]
        return _compiled(keras.Sequential([keras.Input((6,)), *layers]))

    with pytest.raises(ValueError, match=r"share_it=\['b'\]"):
        training.fit_many(make, [{"l2": {"^a$": 0.3}}], (X, Y))


@pytest.mark.skipif(IS_JAX, reason="a gradient of JAX is a trace in any case")
def test_steps_that_are_not_compiled():
    class Branch(kl.Layer):
        def call(self, inputs):
            if not keras.ops.is_tensor(inputs):
                return inputs
            return 2 * inputs if float(keras.ops.mean(inputs)) > 0 else inputs

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    def make():
        model = keras.Sequential([keras.Input((6,)), Branch(), kl.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    result = training.fit_many(make, 2, (X, Y), **FIT)
    _equal_alone(result, 1, make, {"seed": 1}, {"x": X, "y": Y, **FIT})


def test_an_ensemble_in_half_precision_and_in_the_structure_of_its_members():
    def make(bias):
        inputs = keras.Input((6,))
        zeros, bias = "zeros", keras.initializers.Constant(bias)
        half = kl.Dense(2, dtype="float16", kernel_initializer=zeros)
        other = kl.Dense(1, kernel_initializer=zeros, bias_initializer=bias)
        outputs = {"z": half(inputs), "a": [other(inputs)]}
        half.bias.assign(np.full(2, bias.value))
        return keras.Model(inputs, outputs)

    policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("mixed_float16")
    try:
        ensemble = training.Ensemble([make(0.0), make(1000.0)])
    finally:
        keras.config.set_dtype_policy(policy)
    mean, spread = ensemble.predict(X)
    assert set(mean) == {"a", "z"} and isinstance(spread["a"], list)
    np.testing.assert_allclose(spread["z"], np.full((50, 2), 500.0))
    np.testing.assert_allclose(mean["a"][0], np.full((50, 1), 500.0))


def test_an_ensemble(tmp_path):
    result = training.fit_many(build, 3, (X, Y), epochs=2)
    ensemble = result.ensemble()
    mean, spread = ensemble.predict(X)
    each = np.stack([result.model(n).predict(X, verbose=0) for n in range(3)])
    np.testing.assert_allclose(mean, each.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(spread, each.std(axis=0), atol=1e-5)
    ensemble.model.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0)["mean"], mean, atol=1e-6)


@pytest.mark.tensorflow
def test_an_ensemble_as_a_file(tmp_path):
    models = [build(), build()]
    path = tmp_path / "ensemble.tflite"
    export.to_tflite(training.Ensemble(models).model, path, verify=X)
    outputs = export.TFLiteModel(path).predict(X)
    each = np.stack([model.predict(X, verbose=0) for model in models])
    np.testing.assert_allclose(outputs["mean"], each.mean(axis=0), atol=1e-5)


def _compiled(model):
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"variants": []}, ValueError, "a dict for each member"),
        ({"variants": [{"learnig_rate": 1}]}, ValueError, "'learning_rate'"),
        ({"variants": [{"dropout": 1.0}]}, ValueError, "dropout"),
        ({"variants": [{"dropout": {"nowhere": 0.1}}]}, ValueError, "nowhere"),
        ({"variants": [{"l1": 0.1}]}, ValueError, "whose l1 a variant can set"),
        ({"callbacks": [keras.callbacks.EarlyStopping()]}, TypeError, "a function"),
        ({"build_fn": lambda: keras.Sequential([keras.Input((2,))])}, ValueError,
         "compiled"),
        ({"data": (X, Y, Y, Y)}, ValueError, "`data`"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"data": (X[:0], Y[:0])}, ValueError, "must have rows"),
        ({"data": X}, TypeError, "`data` must be"),
        ({"data": (batch for batch in [(X, Y)])}, TypeError, "a generator"),
        ({"callbacks": lambda _: None}, TypeError, "return a list"),
        ({"callbacks": lambda _: [1]}, TypeError, "each of `callbacks`"),
    ],
)  # fmt: skip
def test_bad_input(arguments, error, text):
    arguments = {"build_fn": build, "variants": 2, "data": (X, Y), **arguments}
    with pytest.raises(error, match=text):
        training.fit_many(**arguments)


def test_a_metric_that_some_members_have():
    class Extra(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["extra"] = 1.0

    def callbacks(settings):
        return [Extra() for _ in range(settings["seed"])]

    result = training.fit_many(
        lambda: _compiled(_linear()), 2, (X, Y), callbacks=callbacks
    )
    assert result.best("extra", "min") == 1


def _linear():
    return keras.Sequential([keras.Input((6,)), kl.Dense(1)])


def test_one_program_only_where_it_is_possible():
    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    with pytest.raises(
        ValueError, match="acts at each batch" if IS_JAX else "only JAX"
    ):
        training.fit_many(
            build, 2, (X, Y), callbacks=lambda _: [Batches()], engine="one_program"
        )
    with pytest.raises(ValueError, match="a schedule"):
        training.fit_many(lambda: _scheduled(), [{"learning_rate": 0.1}], (X, Y))


def _scheduled():
    model = build()
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model


def test_bad_ensembles():
    small = keras.Sequential([keras.Input((2,)), kl.Dense(3)])
    with pytest.raises(ValueError, match="at least two"):
        training.Ensemble([small])
    with pytest.raises(ValueError, match="same shapes"):
        training.Ensemble([small, build()])
