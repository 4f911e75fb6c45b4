"""Something done every few seconds beside everything else; interrupts, which end a process whatever it is at."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

INTERRUPTED = 130
"""The exit status of an interrupted process."""
HEED_SECONDS = 30
"""How long an interrupted process may take to end by itself: usually some five, to leave Ray."""
_own = threading.Event()
"""That this process has interrupted itself."""


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
            _own.set()
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return


def end_when_interrupted(line: str, seconds: float = HEED_SECONDS) -> None:
    """Have SIGINT and SIGTERM end this process, with a line on stderr, also where its main thread does not.

    Python raises KeyboardInterrupt wherever that thread is: in a callback it is lost, in an import it may leave a
    lock for which every thread waits from then on, and what waits in C++ never sees it.
    """
    stderr = os.dup(2)  # which may lead to a log later on
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def watch() -> None:
        while True:
            if os.read(woken, 1)[0] in (signal.SIGINT, signal.SIGTERM):
                if not _own.is_set():
                    break
                _own.clear()
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            os.write(stderr, f"{line}\n".encode(errors="backslashreplace"))
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, name="interrupts", daemon=True).start()
