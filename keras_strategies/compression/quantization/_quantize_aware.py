"""`quantize_aware`: a model that simulates int8 in training."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    Call,
    Graph,
    assemble,
    call_targets,
    check_rebuildable,
    functional_form,
    read,
)
from keras_strategies._internal.select import Selection, Selector, Target
from keras_strategies._internal.weights import quantized
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.preservation import _plan
from keras_strategies.compression.preservation._preserve import warn_of_loss
from keras_strategies.compression.quantization import (
    _decomposition,
    _preserve,
    _quantize_wrapper,
    _rebuild,
    _roles,
    _weight_layers,
)

_MOMENTUM = 0.99


def quantize_aware(
    model: keras.Model,
    *,
    scheme: Literal["int8", "int8_per_tensor"] | Mapping[str, int] = "int8",
    include: Selector | None = None,
    exclude: Selector | None = None,
    preserve: Literal["sparsity", "clusters", "both"] | None = None,
) -> keras.Model:
    """Returns a model that trains with the rounding errors of an int8 `.tflite` file.

    Use it when int8 after training costs too much accuracy: train as usual, then
    fine-tune the returned model for a few epochs at a low learning rate, and export
    it. Its file uses integers throughout and needs no representative data, because
    the model has learned the ranges.

    The given model is not changed. The new one has the same inputs, outputs, output
    names and (copied) weights, is not compiled, and is an ordinary Functional model:
    `fit`, XLA, saving as `.keras`, loading and further training work as usual, on
    every backend. Models inside it are flattened, with their layers named as before
    (a number is added to a name that occurs twice).

    In the forward pass values are rounded as LiteRT rounds them; gradients pass as if
    they were not (straight-through estimator):

    - weights to `q * s` with integers `q` in [-127, 127] and `s = max |w| / 127`,
      for each output channel of Conv2D and DepthwiseConv2D, for the tensor elsewhere
      (the converter accepts no more);
    - activations to `(q - z) * s` with `q` in [0, 255], where `s` and `z` come from
      a moving average (0.99) of the batches' minima and maxima that starts at the
      first batch;
    - BatchNormalization after a linear Dense or convolution is folded: the rounded
      kernel is `w * gamma / sqrt(moving variance + epsilon)`, the one deployed,
      while training normalizes by the batch as before. Elsewhere it is a product
      and a sum;
    - not rounded: values between a layer and its relu, and those that only a
      Concatenate takes. softmax, sigmoid and tanh have the ranges of LiteRT.

    Supported are Dense, EinsumDense, Conv1D/2D, Conv2DTranspose, DepthwiseConv1D/2D,
    SeparableConv1D/2D, Embedding, BatchNormalization, Normalization, Rescaling,
    Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot, pooling,
    reshaping, padding, cropping, up-sampling, LayerScale, dropout and random
    augmentation; relu,
    relu6, leaky_relu, PReLU, silu, hard_silu, gelu, sigmoid, softmax, tanh and
    exponential, and the same operations of `keras.ops`. LayerNormalization,
    GroupNormalization, MultiHeadAttention, LSTM, GRU, SimpleRNN and Bidirectional
    train with rounded weights and outputs, but compute in float inside, as in the
    file.

    A layer of your own takes part by its attribute `quantize_config`, see
    `QuantizeConfig`: its inputs, the weights that it names and its outputs are rounded.

    With fewer bits, `{"dense": 4}`, weights have `2**bits - 1` values. The file still
    contains int8, of which these are a subset, as LiteRT has no kernels for fewer
    bits: a compressed download gets smaller, the speed is that of int8.

    After `prune` or `cluster` (and `strip`), `preserve` keeps their result through
    this training, after every step and when a saved model is loaded and trained
    further:

    - `"sparsity"`: weights that are zero stay zero, in the file too (TFMOT's PQAT);
    - `"clusters"`: weights of one value, in a kernel or, after
      `cluster(per_channel=True)`, in an output channel, move together, by the mean
      of the optimizer's updates (CQAT). For as few integers in the file, the
      channels of a kernel share one range before BatchNormalization is folded in,
      and where the file can have one range only BatchNormalization is not folded. A
      channel whose gamma is negative has the integers of opposite sign;
    - `"both"`: zeros stay and the rest moves together (PCQAT).

    Without it this training fills the zeros of pruning, and a model that has many is
    met with a warning. Kernels without zeros, or with different values, train freely,
    and so do layers that are left in float. `strip(aware)` ends this; it is not needed
    for export.

    References: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877);
    [Krishnamoorthi, 2018](https://arxiv.org/abs/1806.08342).

    Args:
        model: A built Functional or Sequential `keras.Model` in float32, with or
            without models inside it. It is not changed. A subclassed model is taken if
            its `call` can be traced: layers and `keras.ops` only, nothing that depends
            on values. The result is a Functional model; a `train_step` of its class is
            not in it.
        scheme: `"int8"`; `"int8_per_tensor"`, one range for each kernel, for devices
            without ranges by channel; or `{regex: bits}`, where the first expression
            that matches the path of a layer, such as `"encoder/conv2d_1"`, gives the
            bits of its weights, from 2 to 8; the other layers have 8. Defaults to
            `"int8"`.
        include: Which layers to quantize: a regular expression that is searched in
            the layer's path, a layer or nested model, a function of the layer, or a
            list of these. The others stay in float. Defaults to `None`, all.
        exclude: Which layers to leave in float, in the same form; it wins. Defaults
            to `None`.
        preserve: What to keep of earlier pruning and clustering: `"sparsity"`,
            `"clusters"`, `"both"`, or `None` for nothing. Defaults to `None`.

    Returns:
        A new, uncompiled `keras.Model`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph or is quantized
            already, if `scheme`, `include` or `exclude` match nothing, or if there are
            layers without an integer form. The message lists them; `exclude` leaves
            them out.
            If no kernel has anything to preserve; the message says what each has.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x, y = np.random.rand(32, 8, 8, 1), np.random.randint(0, 3, 32)

    aware = compression.quantize_aware(model)
    aware.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    aware.fit(x, y, verbose=0)
    print(compression.range_report(aware))
    ```
    """
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    model = functional_form(model)
    _check_model(model)
    bits, per_channel, rules = _parse_scheme(scheme)
    if preserve is not None:
        checks.choice("preserve", preserve, _plan.NAMES)
    graph = read(model)
    targets = call_targets(graph)
    # Without the entries of nested models, which `targets` leaves out.
    graph.calls = list(targets)
    calls = _selected_calls(targets, Selection(include, exclude))
    roles = _assign_roles(graph, calls)
    _check_rules(rules, [c.path for c in calls if roles[c] in _roles.WITH_WEIGHTS])
    # After the rules were checked: parts of a layer have its path and its bits.
    _decomposition.decompose(graph, roles)

    def may_fold(layer):
        if not _plan.wants_clusters(preserve):
            return True
        # Folding scales each channel differently: shared values stay the same
        # integers only if each channel also has its own range.
        has_channel_ranges = per_channel and _weight_layers.supports_per_channel(layer)
        return has_channel_ranges or not _preserve.is_clustered(layer)

    rebuild = _rebuild.Rebuild(graph, roles, bits, per_channel, _MOMENTUM, may_fold)
    inputs, outputs = rebuild.run(model)
    aware = assemble(model, inputs, outputs)
    if preserve is not None:
        _preserve.preserve_in(aware, preserve)
    else:
        warn_of_loss(model, 'Give `preserve="sparsity"`, after `cluster` "both".')
    return aware


def _check_model(model):
    check_rebuildable(model)
    compressible_weights.check_built(model)
    if any(
        hasattr(layer, "simulated_quantization")
        and not isinstance(layer, _quantize_wrapper.QuantizeWrapper)
        for layer in quantized.model_layers(model)
    ):
        checks.fail(
            "`model` must not be quantization-aware already",
            fix="Give the float model, or train this one on.",
            model=model.name,
        )


def _parse_scheme(
    scheme: Any,
) -> tuple[Callable[[str], int], bool, list[tuple[re.Pattern[str], int]]]:
    """`(bits of a path, per channel, rules)`."""
    if isinstance(scheme, Mapping):
        if not scheme:
            fix = 'For example {"dense": 4}, or "int8".'
            checks.fail("`scheme` must have a rule", fix=fix, scheme=scheme)
        rules = []
        for regex, bits in scheme.items():
            pattern = _pattern("A key of `scheme`", regex)
            rules.append((pattern, checks.integer("bits", bits, low=2, high=8)))

        def bits_of(path):
            return next((bits for rule, bits in rules if rule.search(path)), 8)

        return bits_of, True, rules
    checks.choice("scheme", scheme, ("int8", "int8_per_tensor"))
    return (lambda path: 8), scheme == "int8", []


def _check_rules(rules, paths):
    for pattern, bits in rules:
        if not any(pattern.search(path) for path in paths):
            checks.fail(
                "A rule of `scheme` must fit a quantized layer with weights",
                fix="A regular expression is searched in these paths.",
                regex=pattern.pattern,
                bits=bits,
                paths=paths,
            )


def _pattern(name, regex):
    checks.instance(name, regex, str)
    try:
        return re.compile(regex)
    except re.error as error:
        rule = f"{name} must be a valid regular expression ({error})"
        raise ValueError(checks.message(rule, {"regex": regex})) from error


def _selected_calls(targets: Mapping[Call, Target], selection: Selection) -> list[Call]:
    """The calls to quantize."""
    selected = {id(target) for target in selection.choose(list(targets.values()))}
    return [call for call, target in targets.items() if id(target) in selected]


def _assign_roles(graph: Graph, calls: Sequence[Call]) -> dict[Call, str]:
    """The role of each call, or an error that lists what cannot be quantized."""
    roles: dict[Call, Any] = dict.fromkeys(graph.calls, _roles.FLOAT)
    problems = {}
    for call in calls:
        if not any(tensor.is_float for tensor in call.outputs):
            continue  # nothing to round, such as the mask of an Embedding
        roles[call], problem = _roles.role(call.operation)
        if problem:
            kind = type(call.operation).__name__
            problems[call.path] = f"{call.path} ({kind}): {problem}"
    if problems:
        layers = sorted(problems.values())
        checks.fail(
            "Every layer to quantize must have an integer form",
            fix="Leave these in float with e.g. "
            f"exclude={'|'.join(f'^{path}$' for path in sorted(problems))!r}.",
            layers=layers,
        )
    return roles
