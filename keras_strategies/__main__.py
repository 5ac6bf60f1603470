"""`python -m keras_strategies` is the `keras-strategies` command."""

import sys

from keras_strategies.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
