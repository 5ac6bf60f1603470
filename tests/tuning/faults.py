"""Trials that go wrong in every way, for searches in other processes."""

import os
import signal
import threading
import time

import keras_tuner
import numpy as np

from keras_strategies import tuning

RAISES, NAN, MEMORY, HANGS, KILLED, GOOD = range(6)


def space(*kinds):
    hp = keras_tuner.HyperParameters()
    hp.Choice("x", list(kinds))
    return hp


class Faulty(tuning.Tuner):
    """`x` says what happens; what is good returns its number."""

    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.get("x")
        if x == RAISES:
            raise ValueError("no such layer")
        if x == NAN:
            return float("nan")
        if x == MEMORY:
            return float(np.ones(2**30).sum())  # 8 GiB
        if x == HANGS:
            time.sleep(600)
        if x == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(x)


class Slow(tuning.Tuner):
    """Trials of a known length, which note who ran them."""

    def run_trial(self, trial, seconds, notes, *args, **kwargs):
        x = trial.hyperparameters.get("x")
        with open(os.path.join(notes, f"{x}-{os.getpid()}"), "w") as file:
            file.write(trial.trial_id)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.05)
        return float(x)


def kill_a_worker(notes, seconds):
    """A thread that kills the first process to note a trial, and the names it killed.

    Start the thread before the search. `names` takes the name of the note.
    """
    killed = []

    def kill():
        until = time.monotonic() + seconds
        while not killed and time.monotonic() < until:
            for file in notes.iterdir():
                pid = int(file.name.partition("-")[2])
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
                killed.append(file.name)
                return
            time.sleep(0.1)

    return threading.Thread(target=kill), killed
