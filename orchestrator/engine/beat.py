"""Something done every few seconds beside everything else."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call a function again and again, in a thread of its own, while the context lasts; a call is let to end."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            call()

    beating = threading.Thread(target=beat, name=call.__qualname__, daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join(seconds)
