"""Layer configurations between Keras 3 and tf_keras (pure, on dicts and classes)."""

import inspect

# (class, Keras 3 key) -> tf_keras key.
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
_MODELS = ("Functional", "Sequential", "Model")
# Accepted by every layer.
_COMMON = {"name", "dtype", "trainable"}


def is_model(entry):
    """Whether a serialized entry is a nested model that can be rebuilt."""
    return entry["class_name"] in _MODELS and "layers" in entry["config"]


def find_class(entry, layers):
    """Returns the class of a serialized layer in the namespace `layers`, or None."""
    module = entry.get("module") or "keras.layers"
    # Operations such as `x * 2` have a class in keras.src, custom ones elsewhere.
    if module.partition(".")[0] not in ("keras", "tf_keras") or ".ops" in module:
        return None
    return getattr(layers, entry["class_name"], None)


def translate(entry, source, target, to_keras_3):
    """Returns the configuration of a layer for the other Keras.

    Args:
        entry: Serialized layer, `{"class_name", "config", ...}`.
        source: Namespace of layer classes it comes from, such as `keras.layers`.
        target: Namespace it goes to.
        to_keras_3: Direction.

    Returns:
        `(config, lost)`: the configuration, and the names of settings that the
        other side does not have and that are not at their default.
    """
    name, config, lost = entry["class_name"], {}, []
    old, new = getattr(source, name), getattr(target, name)
    accepted, defaults = _arguments(new), _defaults(old)
    renamed = {theirs: ours for (c, ours), theirs in _RENAMED.items() if c == name}
    if not to_keras_3:
        renamed = {ours: theirs for theirs, ours in renamed.items()}
    for key, value in entry["config"].items():
        key_there = renamed.get(key, key)
        if key_there in accepted:
            config[key_there] = _value(key, value, source, target, to_keras_3, lost)
        elif key in defaults and value != defaults[key]:
            lost.append(f"{key}={value!r}")
    return config, lost


def _value(key, value, source, target, to_keras_3, lost):
    if key == "dtype":
        return dtype_name(value)
    if key == "axis" and isinstance(value, list | tuple) and len(value) == 1:
        return int(value[0])  # tf_keras keeps lists where Keras 3 wants a number
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    inner = find_class(value, source)
    if inner is not None and hasattr(target, value["class_name"]):
        config, more = translate(value, source, target, to_keras_3)
        lost += [f"{value['class_name']}.{text}" for text in more]
        return getattr(target, value["class_name"])(**config)
    # Initializers, regularizers, constraints: a setting that is None is left out, as
    # each side has some that the other does not know.
    settings = {k: v for k, v in (value.get("config") or {}).items() if v is not None}
    return {**value, "config": settings}


def dtype_name(value):
    """Returns the name of a dtype or policy, however it was serialized."""
    if isinstance(value, dict):
        return value["config"]["name"]
    return value


def _arguments(cls):
    """Names that the constructors of a class and its bases take."""
    names = set(_COMMON)
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD,)}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                break
        if base.__name__ in ("Layer", "Operation"):
            break
    if any(base.__name__ == "RNN" for base in cls.__mro__):
        names.add("zero_output_for_mask")  # tf_keras takes it unnamed
    return names - {"self"}


def _defaults(cls):
    """Name -> default of the constructor's own arguments."""
    found = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            found |= {p.name: p.default for p in parameters.values()}
    required = inspect.Parameter.empty
    return {name: value for name, value in found.items() if value is not required}
