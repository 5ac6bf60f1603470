"""Runs the tests that Keras installs with itself against a class of ours."""

import importlib
import unittest


def run_keras_suite(monkeypatch, module, name, ours, skip=()):
    """Runs `keras.src.callbacks.<module>` with `callbacks.<name>` replaced.

    `skip` lists test methods that do not apply. Returns how many ran.
    """
    tests = importlib.import_module(f"keras.src.callbacks.{module}")
    used = []

    class Replacement(ours):
        def __init__(self, *args, **kwargs):
            used.append(ours)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(tests.callbacks, name, Replacement)
    suite = unittest.TestLoader().loadTestsFromModule(tests)
    cases = [
        case
        for group in suite
        for case in group
        if case._testMethodName not in {*skip, "test_session"}
    ]
    result = unittest.TestResult()
    for case in cases:
        case.run(result)
    problems = result.failures + result.errors
    assert not problems, "\n".join(f"{case}\n{text}" for case, text in problems)
    assert used, "the tests did not use the replaced class"
    return result.testsRun
