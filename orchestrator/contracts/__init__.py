"""What a model of yours, or an experiment, has to be, as tests: docs/your-own.md tells how they are run.

They need pytest, which the package itself does without.
"""
