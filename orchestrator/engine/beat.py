"""Something done every few seconds beside everything else."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call a function again and again, in a thread of its own, while the context lasts.

    At the end a call may take as long again to end. One that raises is the last.
    """
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


def interrupt() -> None:
    """Stop the main thread as Ctrl-C does, or SIGTERM where Ctrl-C is not listened to."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.default_int_handler:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return
