"""Translation of layer configurations between Keras 3 and tf_keras.

Pure functions on dicts and classes.
"""

import inspect
from typing import Any

# (class, Keras 3 key) -> tf_keras key, of arguments that were renamed.
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
_MODELS = ("Functional", "Sequential", "Model")
# Accepted by every layer, through `**kwargs`.
_COMMON = {"name", "dtype", "trainable"}


def is_model(entry: dict[str, Any]) -> bool:
    """Whether a serialized entry is a nested model that can be rebuilt."""
    return entry["class_name"] in _MODELS and "layers" in entry["config"]


def find_class(entry: dict[str, Any], layers: Any) -> Any:
    """Returns the class of a serialized layer in the namespace `layers`, or None."""
    module = entry.get("module") or "keras.layers"
    # Operations such as `x * 2` have a class in keras.src, custom ones elsewhere.
    if module.partition(".")[0] not in ("keras", "tf_keras") or ".ops" in module:
        return None
    return getattr(layers, entry["class_name"], None)


def translate(
    entry: dict[str, Any], source: Any, target: Any, to_keras_3: bool
) -> tuple[dict[str, Any], list[str]]:
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
    class_name, config = entry["class_name"], {}
    lost: list[str] = []
    old_class, new_class = getattr(source, class_name), getattr(target, class_name)
    accepted, defaults = _arguments(new_class), _defaults(old_class)
    renamed = _renamed_keys(class_name, to_keras_3)
    for key, value in entry["config"].items():
        new_key = renamed.get(key, key)
        if new_key in accepted:
            config[new_key] = _value(key, value, source, target, to_keras_3, lost)
        # Dropping a setting at its default changes nothing.
        elif key in defaults and value != defaults[key]:
            lost.append(f"{key}={value!r}")
    return config, lost


def _renamed_keys(class_name, to_keras_3):
    """`{old key: new key}` of the arguments of a class that are named otherwise."""
    pairs = [
        (keras_3_key, tf_keras_key)
        for (name, keras_3_key), tf_keras_key in _RENAMED.items()
        if name == class_name
    ]
    return {new: old for old, new in pairs} if to_keras_3 else dict(pairs)


def _value(key, value, source, target, to_keras_3, lost):
    """The value of a setting on the other side; adds to `lost` what it loses."""
    if key == "dtype":
        return dtype_name(value)
    if key == "axis" and isinstance(value, list | tuple) and len(value) == 1:
        return int(value[0])  # tf_keras keeps lists where Keras 3 wants a number
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    inner = find_class(value, source)
    if inner is not None and hasattr(target, value["class_name"]):
        config, inner_lost = translate(value, source, target, to_keras_3)
        lost += [f"{value['class_name']}.{text}" for text in inner_lost]
        return getattr(target, value["class_name"])(**config)
    # Initializers, regularizers, constraints: a setting that is None is left out, as
    # each side has some that the other does not know.
    settings = {k: v for k, v in (value.get("config") or {}).items() if v is not None}
    return {**value, "config": settings}


def dtype_name(value: Any) -> str:
    """Returns the name of a dtype or policy, however it was serialized."""
    if isinstance(value, dict):
        return value["config"]["name"]
    return value


def _arguments(cls):
    """Names that the constructors of a class and its bases take."""
    names = set(_COMMON)
    # From the class upwards, as long as each constructor passes `**kwargs` on.
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
    defaults = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            defaults |= {p.name: p.default for p in parameters.values()}
    required = inspect.Parameter.empty
    return {name: value for name, value in defaults.items() if value is not required}
