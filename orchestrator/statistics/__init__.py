"""Estimates with their intervals and tests, for experiments and for the judges of claims."""
