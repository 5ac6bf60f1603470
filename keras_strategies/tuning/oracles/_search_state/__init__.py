"""The state of a search on disk: trials, requests of workers, repair."""
