"""For all tests."""

import os

# Two threads that wait for each other by spinning are very slow where another process wants the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
