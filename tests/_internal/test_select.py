"""The one rule of `include=` and `exclude=`."""

import re

import keras
import pytest

from keras_strategies._internal import select
from keras_strategies._internal.select import Selection, VariableSelection

INSIDE = ["backbone", "backbone/pixels", "backbone/conv_1", "backbone/conv_2"]


@pytest.fixture(scope="module")
def model():
    """A backbone of two Dense layers in a model with a head."""
    inner = keras.Sequential(
        [
            keras.Input((4,), name="pixels"),
            keras.layers.Dense(3, name="conv_1"),
            keras.layers.Dense(3, name="conv_2"),
        ],
        name="backbone",
    )
    inputs = keras.Input((4,), name="image")
    x = keras.layers.BatchNormalization(name="norm")(inner(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x), name="whole")


def paths(targets):
    return [target.path for target in targets]


def layers(model, include=None, exclude=None, **options):
    selection = Selection(include, exclude, **options)
    return paths(selection.choose(select.layer_targets(model)))


def weights(model, include=None, exclude=None):
    return paths(Selection(include, exclude).choose(select.weight_targets(model)))


def test_paths_of_layers_have_the_containers_first_and_not_the_model(model):
    assert layers(model) == [
        "image",
        "backbone",
        "backbone/pixels",
        "backbone/conv_1",
        "backbone/conv_2",
        "norm",
        "head",
    ]


def test_paths_of_weights_are_those_of_their_layers(model):
    assert weights(model, exclude="norm") == [
        "backbone/conv_1/kernel",
        "backbone/conv_1/bias",
        "backbone/conv_2/kernel",
        "backbone/conv_2/bias",
        "head/kernel",
        "head/bias",
    ]
    assert len(select.weight_targets(model)) == len(model.weights)


def test_a_shared_layer_and_a_shared_weight_come_once():
    shared = keras.layers.Dense(2, name="shared")
    inputs = keras.Input((2,))
    model = keras.Model(inputs, shared(shared(inputs)))
    targets = select.layer_targets(model)
    assert sum(target.item is shared for target in targets) == 1
    assert paths(select.weight_targets(model)) == ["shared/kernel", "shared/bias"]


def test_weights_of_the_model_itself_have_no_layer_in_their_path():
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__(name="scaled")
            self.dense = keras.layers.Dense(2, name="dense")
            self.scale = self.add_weight(name="scale", shape=())

        def call(self, inputs):
            return self.dense(inputs) * self.scale

    model = Scaled()
    model(keras.ops.ones((1, 2)))
    assert sorted(paths(select.weight_targets(model))) == [
        "dense/bias",
        "dense/kernel",
        "scale",
    ]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("conv_1", ["backbone/conv_1"]),
        ("^conv_1", None),
        (re.compile("CONV_2", re.IGNORECASE), ["backbone/conv_2"]),
        ("^backbone$", INSIDE),
        ("/conv", ["backbone/conv_1", "backbone/conv_2"]),
        (["head", "norm"], ["norm", "head"]),
        (("head",), ["head"]),
    ],
)
def test_regular_expressions_are_searched_in_the_path(model, include, expected):
    if expected is None:
        with pytest.raises(ValueError, match="`include` must match at least one layer"):
            layers(model, include)
    else:
        assert layers(model, include) == expected


def test_a_layer_stands_for_itself_and_a_nested_model_for_all_in_it(model):
    assert layers(model, model.get_layer("norm")) == ["norm"]
    backbone = model.get_layer("backbone")
    assert layers(model, backbone) == INSIDE
    assert layers(model, backbone, inside=False) == ["backbone"]
    assert layers(model, "^backbone$", inside=False) == ["backbone"]
    assert weights(model, backbone, "bias") == [
        "backbone/conv_1/kernel",
        "backbone/conv_2/kernel",
    ]


def test_a_variable_stands_for_itself(model):
    head = model.get_layer("head")
    assert weights(model, head.kernel) == ["head/kernel"]
    assert weights(model, [head.kernel, head.bias]) == ["head/kernel", "head/bias"]


def test_functions_get_the_layer_also_for_its_weights(model):
    def is_dense(layer):
        return isinstance(layer, keras.layers.Dense)

    assert layers(model, is_dense) == ["backbone/conv_1", "backbone/conv_2", "head"]
    assert weights(model, is_dense, "bias|conv") == ["head/kernel"]
    assert layers(model, exclude=lambda layer: layer.name != "head") == ["head"]


def test_exclude_wins(model):
    assert layers(model, ["backbone", "head"], "conv_2|head") == INSIDE[:-1]
    selection = Selection("head", model.get_layer("head"))
    assert not any(selection(target) for target in select.layer_targets(model))


def test_neither_argument_selects_all(model):
    assert Selection().selects_all
    assert not Selection("head").selects_all
    assert not Selection(exclude="head").selects_all


def test_an_entry_that_selects_nothing_is_an_error_which_names_it(model):
    targets = select.layer_targets(model)
    with pytest.raises(ValueError, match=r"include='haed'.*paths=.*'head'"):
        Selection(["norm", "haed"]).choose(targets)
    with pytest.raises(ValueError, match="`exclude` must match at least one layer"):
        Selection(exclude="haed").choose(targets)
    other = keras.layers.Dense(1)
    with pytest.raises(ValueError, match="`include` must match at least one layer"):
        Selection(other).choose(targets)
    with pytest.raises(ValueError, match="`include` must match at least one weight"):
        Selection(lambda layer: False).choose(select.weight_targets(model), "weight")


def test_nothing_left_is_an_error(model):
    targets = select.layer_targets(model)
    with pytest.raises(ValueError, match="`include` and `exclude` must leave a layer"):
        Selection("head", "head").choose(targets)
    with pytest.raises(ValueError, match="must leave a layer"):
        Selection([]).choose(targets)


@pytest.mark.parametrize(
    ("include", "error", "message"),
    [
        ("(", ValueError, "`include` must be a valid regular expression"),
        (3, TypeError, "`include` must be a regular expression, a layer"),
        (["head", None], TypeError, "include=None"),
    ],
)
def test_other_entries_are_refused_at_once(include, error, message):
    with pytest.raises(error, match=message):
        Selection(include)


def test_errors_have_the_names_of_the_arguments(model):
    selection = Selection("haed", names=("groups", "exclude"))
    with pytest.raises(ValueError, match=r"`groups` must match .* groups='haed'"):
        selection.choose(select.layer_targets(model))


def test_mask_says_for_each_target_whether_it_is_selected(model):
    targets = select.weight_targets(model)
    selected = Selection("kernel").mask(targets)
    assert [t.path for t, s in zip(targets, selected, strict=True) if s] == [
        "backbone/conv_1/kernel",
        "backbone/conv_2/kernel",
        "head/kernel",
    ]


class TestVariables:
    """Where only variables are known, as in an optimizer."""

    def test_every_kind_of_entry(self, model):
        variables, head = model.trainable_variables, model.get_layer("head")
        expected = [v is head.kernel or v is head.bias for v in variables]
        for include in (
            "head/",
            head,
            [head.kernel, head.bias],
            lambda variable: "head" in variable.path,
        ):
            assert VariableSelection(include).resolve(variables) == expected
        inside = VariableSelection(model.get_layer("backbone")).resolve(variables)
        assert sum(inside) == 4

    def test_strings_are_saved_as_they_are(self):
        given = ["head/", "x+"]
        selection = VariableSelection(given, "bias")
        given.append("later")
        assert selection.config() == {"include": ["head/", "x+"], "exclude": "bias"}
        assert VariableSelection().config() == {"include": None, "exclude": None}

    def test_flags_of_a_compiled_pattern_are_saved(self, model):
        selection = VariableSelection(re.compile("HEAD/ .", re.I | re.X))
        (saved,) = {selection.config()["include"]}
        again = VariableSelection(saved)
        variables = model.trainable_variables
        assert again.resolve(variables) == selection.resolve(variables)

    def test_layers_variables_and_functions_are_saved_as_exact_paths(self, model):
        variables, head = model.trainable_variables, model.get_layer("head")
        for include in (
            head,
            head.kernel,
            lambda variable: variable.path.endswith("s"),
        ):
            selection = VariableSelection([include])
            chosen = selection.resolve(variables)
            [saved] = selection.config()["include"]
            assert VariableSelection(saved).resolve(variables) == chosen
        assert re.search(VariableSelection(head).config()["include"], head.bias.path)

    def test_a_function_is_not_saved_before_it_is_resolved(self):
        selection = VariableSelection(exclude=lambda variable: True)
        with pytest.raises(
            ValueError, match=r"`exclude` must select .*optimizer.build"
        ):
            selection.config()
        with pytest.raises(ValueError, match="`include` must select known variables"):
            VariableSelection(keras.layers.Dense(2)).config()

    def test_variables_of_the_same_path_are_not_confused(self):
        first, second = (keras.Variable([1.0], name="kernel") for _ in range(2))
        selection = VariableSelection(first)
        assert selection.resolve([first, second]) == [True, False]
        with pytest.raises(ValueError, match="same path"):
            selection.config()

    def test_an_empty_list_selects_nothing(self, model):
        variables = model.trainable_variables
        assert not any(VariableSelection([]).resolve(variables))
        assert VariableSelection([]).config()["include"] == []
        with pytest.raises(ValueError, match="must leave a variable"):
            VariableSelection("head", "head").resolve(variables)
        with pytest.raises(ValueError, match="`include` must match .* variable"):
            VariableSelection("haed").resolve(variables)

    def test_exact_patterns_match_no_other_path(self):
        variables = [keras.Variable([0.0], name=name) for name in ("a.b", "a+b", "aab")]
        pattern = re.compile(select.exact_pattern(variables[:2]))
        assert [bool(pattern.search(v.path)) for v in variables] == [True, True, False]
