"""Paths inside of TFMOT that its guides import from."""
