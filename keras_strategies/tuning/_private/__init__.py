"""The only package that may touch underscore names of KerasTuner and Optuna.

Both publish the methods to override but keep the state behind them private. Each use
says why no public name serves; all were read in KerasTuner 1.4.7 and 1.4.8 and in
Optuna 4.0 and 5.0, and are covered by `tests/tuning/test_private.py`.
"""
