"""Image layers that Keras does not have; `keras_strategies.augmentation` names them."""
