"""What glibc keeps of the memory that this process has freed; with other C libraries these do nothing."""

import contextlib
import ctypes

M_ARENA_MAX = -8
"""mallopt's name for the number of heaps (malloc.h)."""


def share_heap() -> None:
    """Have all threads take memory from one heap: each has its own otherwise, which keeps all that it ever held."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return all that is free to the system, not only what lies at the heap's end."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
