"""Runs the paper's experiments on Ray: everything that knows Ray, disk or wall time."""
