"""Entry point of the `keras-strategies` command.

It stands outside the package because `import keras_strategies` imports Keras, and so a
backend, which takes seconds: help, `--version`, shell completion and bad arguments need
none of it. The parser is in `keras_strategies.cli`, whose parent package is set up here
but executed only when a command runs.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: The arguments. Defaults to `None`: those of the process.
    """
    execute = _deferred("keras_strategies")
    from keras_strategies.cli._stderr import without_chatter
    from keras_strategies.cli.main import main as run

    @contextlib.contextmanager
    def start():
        with without_chatter():
            execute()
            yield

    return run(argv, start)


def _deferred(name: str) -> Callable[[], None]:
    """Puts a package into `sys.modules` without executing it.

    As `importlib.util.LazyLoader`, but executed by a call: with that loader already the
    import of a submodule executes the package.

    Returns:
        A function that executes the package.
    """
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return lambda: None
    loader, module = spec.loader, importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return lambda: loader.exec_module(module)


if __name__ == "__main__":
    sys.exit(main())
