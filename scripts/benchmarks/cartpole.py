"""CartPole: the article's listing against compiled agents, and how often they solve it.

    scripts/benchmark cartpole [--rounds 3] [--backends tensorflow jax]
    scripts/benchmark cartpole --solve [--seeds 10] [--env jax]

The first measures environment steps a second, each side in turns in processes of its
own: the listing as it stands (three `predict` and one `fit` of one sample a step), with
`predict_on_batch` and `train_on_batch`, and `recipes.dqn` with the same algorithm (one
sample, no replay, no target network), with 64 environments, and with the environment in
the program. A figure is the median of the rounds' ratios to the listing as it stands,
by the clock and by processor time, which other work on the machine disturbs less.

The second trains agents with the defaults until 100 greedy episodes reach a mean return
of 475, at most two minutes each, then plays 100 fresh episodes in gymnasium.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
AIMS = {"same algorithm": 300, "64 environments": 10_000}


def _network(actions=2):
    import keras

    dense = keras.layers.Dense
    return keras.Sequential(
        [keras.Input((4,)), dense(24, "relu"), dense(24, "relu"), dense(actions)]
    )


def now():
    """Seconds by the clock and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def listing(steps, batches):
    """The article's loop, with the calls of today's gymnasium; `seconds`."""
    import gymnasium

    model = _network()
    model.compile(optimizer="adam", loss="mse")
    env = gymnasium.make("CartPole-v1")
    if batches:
        predict, fit = model.predict_on_batch, model.train_on_batch
    else:

        def predict(x):
            return model.predict(x, verbose=0)

        def fit(x, y):
            model.fit(x, y, epochs=1, verbose=0)

    state, _ = env.reset(seed=0)
    state, start = state[None], None
    for number in range(steps + 3):
        if number == 3:  # everything is traced
            start = now()
        action = int(np.argmax(predict(state)))
        next_state, reward, terminated, truncated, _ = env.step(action)
        next_state, target = next_state[None], reward
        if not terminated:
            target += 0.95 * np.amax(predict(next_state))
        targets = np.array(predict(state))
        targets[0][action] = target
        fit(state, targets)
        state = env.reset()[0][None] if terminated or truncated else next_state
    return now() - start


def agent(steps, env, num_envs, **settings):
    """Training with one update for each step of all environments; `seconds`."""
    from keras_strategies import recipes

    model = _network()
    model.compile(optimizer="adam", loss="mse")
    options = {"learning_starts": 1, "exploration_steps": 0, "seed": 0}
    trained = recipes.DQNAgent(env, model, num_envs=num_envs, **options | settings)
    trained.train(500 * num_envs)  # compiled; the program has 250 steps
    start = now()
    trained.train(steps)
    return now() - start


SAME = {"buffer_size": 1, "batch_size": 1, "double": False, "discount": 0.95}
SAME |= {"tau": 1.0, "epsilon": 0.0, "final_epsilon": 0.0}
MANY = {"batch_size": 64, "buffer_size": 64 * 500}
ROWS = {
    "the listing as it stands": ("tensorflow", listing, 15, {"batches": False}),
    "with predict_on_batch, train_on_batch": (
        "tensorflow",
        listing,
        300,
        {"batches": True},
    ),
}
for _backend in ("tensorflow", "jax", "torch"):
    ROWS |= {
        f"same algorithm, {_backend}": (
            _backend,
            agent,
            2000,
            {"env": "CartPole-v1", "num_envs": 1, **SAME},
        ),
        f"64 environments, {_backend}": (
            _backend,
            agent,
            64 * 1000,
            {"env": "CartPole-v1", "num_envs": 64, **MANY},
        ),
    }
ROWS |= {
    "1 environment in the program, jax": (
        "jax",
        agent,
        5000,
        {"env": "jax", "num_envs": 1, **SAME},
    ),
    "64 environments in the program, jax": (
        "jax",
        agent,
        64 * 2000,
        {"env": "jax", "num_envs": 64, **MANY},
    ),
    "1024 environments in the program, jax": (
        "jax",
        agent,
        1024 * 500,
        {"env": "jax", "num_envs": 1024, "batch_size": 64, "buffer_size": 1024 * 100},
    ),
}


def child(name):
    """Steps a second, by clock and processor, of one row in its own process."""
    environment = {**os.environ, "KERAS_BACKEND": ROWS[name][0]}
    command = [sys.executable, __file__, "--row", name]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        raise SystemExit(f"{name}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def speed(rounds, backends):
    names = [name for name, row in ROWS.items() if row[0] in (*backends, "tensorflow")]
    names = [n for n in names if ROWS[n][1] is listing or ROWS[n][0] in backends]
    rates = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            rates[name].append(child(name))
            print(name, rates[name][-1], file=sys.stderr, flush=True)
    first = np.array(rates[names[0]])
    print("| | Steps a second | Ratio | By processor time | Aim |")
    print("|---|---|---|---|---|")
    for name in names:
        clock, processor = np.median(np.array(rates[name]) / first, axis=0)
        aim = next((a for start, a in AIMS.items() if name.startswith(start)), "")
        rate = f"{np.median(rates[name], axis=0)[0]:,.2f}"
        print(
            f"| {name} | {rate} | {clock:,.0f} | {processor:,.0f} | {aim} |", flush=True
        )


def solve(seeds, first, env, minutes):
    """Trains one agent a seed; returns and seconds, and what 100 fresh episodes say."""
    from scipy import stats

    from keras_strategies import recipes

    solved, evaluations = 0, []
    for seed in range(first, first + seeds):
        cpu, start = time.process_time(), time.perf_counter()
        trained = recipes.dqn(env, seed=seed)
        history = trained.train(
            10**7, target_return=475.0, evaluate_every=1000, time_limit=60 * minutes
        )
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        mean = trained.evaluate(100, env="CartPole-v1", seed=10_000 + seed).mean()
        solved += mean >= 475 and seconds <= 60 * minutes + 5
        evaluations.append(history["evaluation_return"])
        row = f"seed {seed}: {trained.step:,} steps, {seconds:.0f} s ({cpu:.0f} s of "
        print(row + f"processor time), fresh episodes {mean:.0f}", flush=True)
    print(f"{solved} of {seeds} solved")
    length = max(map(len, evaluations))
    curves = [e + [e[-1]] * (length - len(e)) for e in evaluations]
    middle = stats.trim_mean(np.array(curves), 0.25, axis=0)
    bootstrap = np.random.default_rng(0).integers(0, seeds, (1000, seeds))
    drawn = stats.trim_mean(np.array(curves)[bootstrap], 0.25, axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    print("| Steps | Return, interquartile mean | 95 % |\n|---|---|---|")
    for index in range(4, length, 5):
        interval = f"{low[index]:.0f} to {high[index]:.0f}"
        print(f"| {(index + 1) * 1000:,} | {middle[index]:.0f} | {interval} |")


def main():
    parser = argparse.ArgumentParser(
        prog="benchmark cartpole", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--solve", action="store_true")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        _, function, steps, arguments = ROWS[options.row]
        print(json.dumps((steps / function(steps, **arguments)).tolist()))
    elif options.solve:
        solve(options.seeds, options.first_seed, options.env, options.minutes)
    else:
        speed(options.rounds, options.backends)


if __name__ == "__main__":
    main()
