"""Starting points: ordinary Keras objects that are right, quick and exportable.

`image_classification`, `text_classification`, `tabular` and `time_series` return a
compiled model with data sets and callbacks. `dqn` makes an agent that learns to act,
in gymnasium's environments or in environments that run on the device.
"""

from keras_strategies.recipes._dqn._dqn import dqn
from keras_strategies.recipes._dqn.cart_pole import CartPole
from keras_strategies.recipes._dqn.dqn_agent import DQNAgent
from keras_strategies.recipes._dqn.replay_buffer import ReplayBuffer
from keras_strategies.recipes._image_classification import image_classification
from keras_strategies.recipes._tabular import tabular
from keras_strategies.recipes._text_classification import text_classification
from keras_strategies.recipes._time_series import time_series
from keras_strategies.recipes.recipe import Recipe

__all__ = [
    "CartPole",
    "DQNAgent",
    "Recipe",
    "ReplayBuffer",
    "dqn",
    "image_classification",
    "tabular",
    "text_classification",
    "time_series",
]
