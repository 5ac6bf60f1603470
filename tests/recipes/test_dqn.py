"""The agent: the article's algorithm exactly, options, errors, files."""

import sys

import gymnasium
import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies import export, recipes
from keras_strategies.recipes._dqn import _sum_tree, _sum_tree_jax, _targets
from keras_strategies.recipes._dqn._environments import GymnasiumEnvironments
from tests.recipes import listing

BACKEND = keras.backend.backend()
SMALL = {"units": (16,), "batch_size": 16, "learning_starts": 20, "seed": 0}


class Counted(gymnasium.Wrapper):
    """CartPole whose n-th episode has the seed n, whoever plays it."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        return self.env.reset(seed=self.episode)


def network():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(24, "relu"),
            keras.layers.Dense(24, "relu"),
            keras.layers.Dense(2),
        ]
    )
    # The article's error is the mean over both actions, of which one is 0.
    model.compile("adam", loss=lambda y, q: ops.mean(ops.square(y - q), -1) / 2)
    return model


def test_the_algorithm_of_the_article_gives_its_weights():
    ours, theirs = network(), network()
    theirs.set_weights(ours.get_weights())
    theirs.compile("adam", loss="mse")
    agent = recipes.DQNAgent(
        Counted,
        ours,
        buffer_size=1,
        batch_size=1,
        learning_starts=1,
        double=False,
        discount=0.95,
        tau=1.0,
        epsilon=0.0,
        final_epsilon=0.0,
        seed=0,
    )
    agent.train(61)  # the last transition is learned with the next step
    listing.run(Counted(), theirs, 60)
    assert len(agent.history["episode_return"]) > 2
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert int(ops.convert_to_numpy(ours.optimizer.iterations)) == 60


def test_targets():
    q_target = np.array([[1.0, 5.0], [2.0, 3.0]], "float32")
    q_online = np.array([[9.0, 0.0], [0.0, 9.0]], "float32")
    q_target, q_online = ops.array(q_target), ops.array(q_online)
    returns, discounts = ops.array([1.0, 2.0]), ops.array([0.5, 0.0])
    one = _targets.td_targets(returns, discounts, q_target)
    two = _targets.td_targets(returns, discounts, q_target, q_online)
    np.testing.assert_allclose(ops.convert_to_numpy(one), [3.5, 2.0])
    np.testing.assert_allclose(ops.convert_to_numpy(two), [1.5, 2.0])
    mean = _targets.valid_mean(ops.array([2.0, 4.0, 99.0]), ops.array([1.0, 0.5, 0.0]))
    assert float(mean) == 2.0
    epsilons = [_targets.epsilon_at(t, 1.0, 0.2, 10, np) for t in (0, 5, 10, 99)]
    np.testing.assert_allclose(epsilons, [1.0, 0.6, 0.2, 0.2])


OPTIONS = [
    {},
    {"double": False, "num_envs": 3, "updates_per_step": 2},
    {"dueling": True, "n_steps": 3, "priority_exponent": 0.6, "num_envs": 4},
    {"tau": 1.0, "target_update_interval": 7},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "many", "rainbow", "hard"])
def test_options_train(options):
    agent = recipes.dqn("CartPole-v1", **{**SMALL, **options})
    before = agent.network.get_weights()
    history = agent.train(80, evaluate_every=40, evaluation_episodes=3)
    assert 80 <= agent.step < 84
    changed = [
        (a != b).any() for a, b in zip(before, agent.network.get_weights(), strict=True)
    ]
    assert all(changed)
    assert np.isfinite(history["loss"]).all() and history["loss"]
    assert sum(history["episode_length"]) <= 80
    assert history["episode_return"] == history["episode_length"]
    assert len(history["evaluation_return"]) == 2
    assert min(history["evaluation_return"]) >= 8


def test_the_target_network_follows():
    """A copy every seventh update."""
    agent = recipes.dqn(**SMALL, tau=1.0, target_update_interval=7)
    agent.train(20 + 13)
    now, target = agent.network.get_weights(), agent._learner.target
    agent._learner.sync()
    late = target.get_weights()
    assert any((a != b).any() for a, b in zip(now, late, strict=True))
    agent.train(1)  # the 14th update
    agent._learner.sync()
    pairs = zip(agent.network.get_weights(), target.get_weights(), strict=True)
    for a, b in pairs:  # old + 1.0 * (new - old), with its rounding
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_dueling_values_are_value_and_centered_advantages():
    agent = recipes.dqn(**SMALL, dueling=True)
    net = agent.network
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    parts = keras.Model(
        net.inputs, [net.get_layer("value").output, net.get_layer("advantages").output]
    )
    value, advantages = parts.predict(x, verbose=0)
    expected = value + advantages - advantages.mean(1, keepdims=True)
    np.testing.assert_allclose(net.predict(x, verbose=0), expected, atol=1e-6)
    np.testing.assert_array_equal(agent.act(x), expected.argmax(1))
    with pytest.raises(ValueError, match=r"shape \(batch, 4\)"):
        agent.act(x[0])


class Ends(gymnasium.Env):
    """Counts its steps; the second is the last. Begins at 100."""

    observation_space = gymnasium.spaces.Box(0, 1000, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 100.0
        return np.array([self.at], "float32"), {}

    def step(self, action):
        assert action in (5, 6)
        self.at += 1
        return np.array([self.at], "float32"), 1.0, False, self.at >= 102, {}


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_the_end_of_an_episode_is_not_the_beginning_of_the_next(mode):
    """Both ways of gymnasium give the same transitions to learn from."""
    modes = gymnasium.vector.AutoresetMode
    vector = gymnasium.vector.SyncVectorEnv(
        [Ends, Ends], autoreset_mode=getattr(modes, mode)
    )
    env = GymnasiumEnvironments(vector, 2)
    env.reset(seed=0)
    learned = []
    for _ in range(12):
        shown = env.observation
        transition = env.step(np.zeros(2))
        learned += [
            (shown[i, 0], transition.next_observations[i, 0], transition.truncated[i])
            for i in range(2)
            if transition.valid[i]
        ]
    assert set(learned) == {(100.0, 101.0, False), (101.0, 102.0, True)}
    with pytest.raises(ValueError, match="begin new episodes by itself"):
        GymnasiumEnvironments(
            gymnasium.vector.SyncVectorEnv([Ends], autoreset_mode=modes.DISABLED), 1
        )


def test_weights_set_by_the_caller_are_those_that_act():
    agent = recipes.dqn(**SMALL)
    agent.train(25)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    weights = agent.network.get_weights()
    actions = agent.act(x)
    weights[-1] = weights[-1] - 1e3 * np.array([1, 0], "float32")
    agent.network.set_weights(weights)
    assert (agent.act(x) == 1).all() and not (actions == 1).all()
    agent.train(1)
    np.testing.assert_allclose(agent.network.get_weights()[-1][0], -1e3, rtol=0.01)


def test_evaluation_leaves_training_as_it_is():
    one, two = recipes.dqn(**SMALL), recipes.dqn(**SMALL)
    one.train(30)
    one.evaluate(2)
    one.train(30)
    two.train(60)
    assert one.history["episode_step"] == two.history["episode_step"]
    for a, b in zip(one.network.get_weights(), two.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    first, second = one.evaluate(3, seed=7), one.evaluate(3, seed=7)
    np.testing.assert_array_equal(first, second)


def test_a_saved_agent_goes_on(tmp_path):
    options = {**SMALL, "n_steps": 2, "priority_exponent": 0.5}
    agent = recipes.dqn(**options)
    agent.train(50)
    agent.save(tmp_path / "agent.npz")
    loaded = recipes.DQNAgent.load(tmp_path / "agent.npz")
    assert loaded.step == 50 and loaded.history == agent.history
    assert loaded.settings == agent.settings
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_array_equal(
        loaded.network.predict(x, verbose=0), agent.network.predict(x, verbose=0)
    )
    for a, b in zip(
        loaded._learner.target.get_weights(),
        agent._learner.target.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    iterations = [
        int(ops.convert_to_numpy(a.network.optimizer.iterations))
        for a in (agent, loaded)
    ]
    assert iterations[0] == iterations[1] == 30
    loaded.train(20)
    assert loaded.step == 70
    # Where it was saved its episode is cut off, and no return goes across.
    ended = loaded._runner.buffer.get_state()["ended"]
    assert ended[49, 0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["agent.npz"]
    (tmp_path / "agent.npz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"no file of `DQNAgent.save`"):
        recipes.DQNAgent.load(tmp_path / "agent.npz")


def test_an_environment_without_a_name_is_given_again(tmp_path):
    agent = recipes.dqn(Ends, **SMALL)
    agent.train(10)
    agent.save(tmp_path / "agent.npz")
    with pytest.raises(ValueError, match="`env` must be given"):
        recipes.DQNAgent.load(tmp_path / "agent.npz")
    assert recipes.DQNAgent.load(tmp_path / "agent.npz", Ends).step == 10


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_a_vector_environment_of_the_caller_stays_open(mode):
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode=mode)
    agent = recipes.dqn(vector, **SMALL)
    agent.train(10)
    assert not vector.closed
    with pytest.raises(ValueError, match="made by you"):
        agent.evaluate(1)
    assert agent.evaluate(3, env="CartPole-v1").shape == (3,)


def test_training_stops_at_its_limits():
    agent = recipes.dqn(**SMALL)
    agent.train(1000, target_return=5.0, evaluate_every=30, evaluation_episodes=3)
    assert agent.step == 30 and agent.history["evaluation_return"][0] >= 5
    agent.train(10**9, time_limit=0.2)
    assert agent.step < 10**5


class Continuous(Ends):
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)


class Words(Ends):
    observation_space = gymnasium.spaces.Text(5)


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        (Continuous, {}, "the action space must be a Discrete space"),
        (Words, {}, "The observation space must be a Box space"),
        (42, {}, "`env` must be the id of an environment"),
        ("CartPole-v1", {"units": 3}, "`units` must be a list"),
        ("CartPole-v1", {"tau": 0.0}, r"`tau` must be in \(0, 1\]"),
        ("CartPole-v1", {"buffer_size": 10}, "`learning_starts` must be at most"),
        ("CartPole-v1", {"optimizer": "adam", "loss": None}, "compiled with one loss"),
    ],
)
def test_bad_input(env, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        recipes.dqn(env, **options)


def test_networks_that_do_not_fit():
    layers = [keras.Input((3,)), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    with pytest.raises(ValueError, match="must be compiled"):
        recipes.DQNAgent("CartPole-v1", model)
    model.compile("adam", "huber")
    with pytest.raises(ValueError, match=r"observations of shape \(4,\)"):
        recipes.DQNAgent("CartPole-v1", model)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", "huber")
    with pytest.raises(ValueError, match="2 values, one for each action"):
        recipes.DQNAgent("CartPole-v1", model)


def test_a_loss_that_is_not_finite_is_no_history():
    agent = recipes.dqn(**SMALL, optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        agent.train(200)


def test_gymnasium_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"keras-strategies\[rl\]"):
        recipes.dqn("CartPole-v1")


def test_dropout_batch_normalization_and_penalties_are_trained_too():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.3, seed=1),
            layers.Dense(2),
        ]
    )
    model.compile("adam", "huber")
    agent = recipes.DQNAgent(
        "CartPole-v1", model, batch_size=8, learning_starts=10, seed=0
    )
    mean = ops.convert_to_numpy(model.layers[1].moving_mean).copy()
    agent.train(30)
    assert (ops.convert_to_numpy(model.layers[1].moving_mean) != mean).any()
    x = np.ones((3, 4), "float32")
    assert (agent.act(x) == agent.act(x)).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "quantization", ["float32", pytest.param("int8", marks=pytest.mark.slow)]
)
def test_the_policy_is_exported_and_played_from_its_file(quantization, tmp_path):
    agent = recipes.dqn(**SMALL, num_envs=2, dueling=True)
    agent.train(200)
    states = agent._runner.buffer.get_state()["observations"][:100].reshape(-1, 4)
    export.to_tflite(
        agent.network,
        tmp_path / "policy.tflite",
        quantization=quantization,
        representative_data=states,
        min_agreement=0.0,
    )
    policy = export.TFLiteModel(tmp_path / "policy.tflite")
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    same = steps = 0
    while True:
        action = int(np.argmax(policy.predict(observation[None], verbose=0)))
        same += action == agent.act(observation[None])[0]
        steps += 1
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    assert same >= (steps if quantization == "float32" else 0.8 * steps)


if BACKEND == "jax":

    def test_the_program_on_the_device_goes_on_exactly(tmp_path):
        options = {**SMALL, "num_envs": 2, "priority_exponent": 0.6, "n_steps": 3}
        agent = recipes.dqn("jax", **options, buffer_size=64)
        agent.train(120)
        agent.save(tmp_path / "agent.npz")
        loaded = recipes.DQNAgent.load(tmp_path / "agent.npz")
        for each in (agent, loaded):
            each.train(80)
        assert loaded.step == agent.step == 200
        assert loaded.history == agent.history
        weights = zip(
            loaded.network.get_weights(), agent.network.get_weights(), strict=True
        )
        for a, b in weights:
            np.testing.assert_array_equal(a, b)
        assert agent.evaluate(5).shape == (5,)
        assert agent.evaluate(5, env="CartPole-v1").shape == (5,)

    def test_the_program_samples_what_the_buffer_does():
        """The same stored steps in both: the same batch at the same indices."""
        agent = recipes.dqn("jax", **SMALL, num_envs=3, n_steps=3, buffer_size=60)
        runner = agent._runner
        agent.train(90)
        stored = {k: np.asarray(v) for k, v in runner.state["buffer"].items()}
        buffer = recipes.ReplayBuffer(60, (4,), 3, n_steps=3, discount=0.99)
        state = buffer.get_state()
        row = int(runner.state["step"]) % 20
        state |= stored | {"valid": np.ones((20, 3)), "next_row": row}
        buffer.set_state(state | {"stored_rows": 20})
        import jax

        ours = runner._sample(
            runner.state["buffer"], runner.state["step"], 20, jax.random.PRNGKey(0)
        )

        class Same:
            def integers(self, low, high, size):
                return np.asarray(ours.indices)

        theirs = buffer.sample(16, Same())
        for name in ("observations", "actions", "returns", "discounts"):
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, name), atol=1e-6, err_msg=name
            )
        np.testing.assert_array_equal(ours.next_observations, theirs.next_observations)

    def test_the_tree_on_the_device_is_that_of_the_buffer():
        rng = np.random.default_rng(0)
        theirs = np.zeros(2 * _sum_tree.leaf_count(50))
        ours = ops.zeros(theirs.shape)
        for _ in range(5):
            indices = rng.choice(50, 20, replace=False)
            values = rng.integers(0, 5, 20)  # exact in float32 too
            _sum_tree.set_leaves(theirs, indices, values)
            values = ops.array(values, "float32")
            ours = _sum_tree_jax.set_leaves(ours, ops.array(indices), values)
        np.testing.assert_array_equal(ours, theirs)
        at = rng.integers(0, int(theirs[1]), 40) + 0.5
        drawn = _sum_tree_jax.find(ours, ops.array(at, "float32"))
        np.testing.assert_array_equal(drawn, _sum_tree.find(theirs, at))

    @pytest.mark.slow
    def test_cartpole_is_solved():
        agent = recipes.dqn("jax", seed=0)
        agent.train(100_000, target_return=475.0, evaluate_every=1000)
        assert agent.evaluate(100, env="CartPole-v1").mean() >= 475
else:

    def test_the_program_on_the_device_needs_jax():
        for env in ("jax", recipes.CartPole()):
            with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
                recipes.dqn(env)
        agent = recipes.dqn(**SMALL)
        with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
            agent.evaluate(1, env="jax")
