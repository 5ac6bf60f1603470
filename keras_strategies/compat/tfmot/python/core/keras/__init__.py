"""A path of TFMOT that its guides import from."""
