"""The CartPole listing of the article, with calls that work today."""

import numpy as np


def run(env, model, steps, discount=0.95):
    """Its loop over `steps` steps of the environment; returns the actions chosen."""
    state, actions = env.reset()[0][None], []
    for _ in range(steps):
        action = int(np.argmax(model.predict_on_batch(state)))
        next_state, reward, terminated, truncated, _ = env.step(action)
        next_state, target = next_state[None], reward
        if not terminated:
            target += discount * np.amax(model.predict_on_batch(next_state))
        targets = np.array(model.predict_on_batch(state))
        targets[0, action] = target
        model.train_on_batch(state, targets)
        actions.append(action)
        state = env.reset()[0][None] if terminated or truncated else next_state
    return actions
