"""The `keras-strategies` command; each subcommand is a module with `add_parser`."""
