"""Bases of the layers, their random numbers and factors."""
