"""The command line: `fmo STAGE ...` or `python -m orchestrator.run STAGE ...`, and the commands beside that."""

import io
import os
import re
import select
import shlex
import signal
import sys
from types import ModuleType
from typing import Any, NoReturn, TextIO

from orchestrator import help
from orchestrator.command_line import defaults, parse, stage_names
from orchestrator.comparison import compare
from orchestrator.engine.beat import INTERRUPTED, end_when_interrupted
from orchestrator.engine.book import Book
from orchestrator.engine.doctor import print_examination
from orchestrator.engine.execute import clean, report, run
from orchestrator.engine.overview import print_plan, print_status
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import Lossy, shown
from orchestrator.engine.typed import program
from orchestrator.paper import suite
from orchestrator.settings_file import as_yaml

OF_STAGES = {"run": run, "plan": print_plan}
OF_A_RUN = {"status": print_status, "doctor": print_examination, "report": report, "clean": clean}
"""Commands; those of the first kind take names of stages."""
LOOKING = {"plan", "status"}
"""Commands that leave a run folder as it is."""
BROKEN_PIPE = 141


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted.

    141, as shells have it, where whatever reads the output has gone.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["MPLBACKEND"] = "agg"  # a notebook's is not to be had here
    if not re.fullmatch(r"[1-9]\d{1,3}", os.environ.get("COLUMNS", "80")):
        del os.environ["COLUMNS"]  # no width of a terminal; in one column the help would never end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _status(sys.argv[1:] if arguments is None else arguments)
        finally:  # also of --help
            sys.stdout.flush()
    except BrokenPipeError:
        if not any(map(_reader_is_gone, (sys.stdout, sys.stderr))):
            raise
        for stream in (sys.stdout, sys.stderr):  # what they still hold goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return BROKEN_PIPE


def _status(arguments: list[str]) -> int:
    try:
        default = defaults(arguments, suite())
        if help.asked(arguments, suite(), default):
            return 0
        own = [it for it in arguments if it in help.FLAGS]
        settings, words = parse([it for it in arguments if it not in own], suite(), default)
        for flag in own:
            if words[:1] != (help.FLAGS[flag],):
                raise UserError(f"{flag} is for {help.FLAGS[flag]} only")
        if words[:1] == ("compare",):
            return compare(settings.runs_dir, words[1:], as_json="--json" in own)
        if "--print-config" in own:
            print(as_yaml(settings), end="")
            return 0
        command, words = (words[0], words[1:]) if words and words[0] in OF_STAGES | OF_A_RUN else ("run", words)
        if command == "run" and not words:
            flags = shlex.join(it for it in arguments if it != "run")
            raise UserError(f"no stage is named: {program()} all {flags} does all of them")
        if command in OF_A_RUN and words:
            raise UserError(f"{command} is of a whole run and takes no stages: {' '.join(words)}")
        settings = suite().complete(settings)
        names = stage_names(suite(), settings, words, help.COMMANDS if command == "run" else ())
        folder = Run(f"{settings.runs_dir.rstrip('/')}/{settings.run_name}")
        book = Book(suite(), settings, folder, set_aside=command not in LOOKING)
        return OF_A_RUN[command](book) if command in OF_A_RUN else OF_STAGES[command](book, names)
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Exception) as error:
        if not _follows_an_interrupt(error):
            raise
        print(_interrupted(arguments), file=sys.stderr)
        return INTERRUPTED


def _interrupted(arguments: list[str]) -> str:
    return f"\ninterrupted; what was finished is kept. To go on: {program()} {shlex.join(arguments)}"


def _follows_an_interrupt(error: BaseException | None) -> bool:
    """Whether it is an interrupt, or came up on its way out: where it cuts an import short, say."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _reader_is_gone(stream: TextIO) -> bool:
    watched = select.poll()
    watched.register(stream, 0)
    return any(event & select.POLLERR for _, event in watched.poll(0))


def open_closed_streams() -> None:
    """Have streams that are closed (>&-) lead nowhere; else a file that is opened would take one's number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode))  # noqa: SIM115  (it stays open)


def command() -> NoReturn:
    """The program `fmo`, and `python -m orchestrator.run`."""
    open_closed_streams()
    end_when_interrupted(_interrupted(sys.argv[1:]))
    printed = sys.stdout = Lossy(
        os.fdopen(os.dup(sys.stdout.fileno()), "wb", 0), sys.stdout.encoding, write_through=True
    )
    status = main()
    if printed.dropped:
        print(f"error: what is printed cannot be written: {printed.dropped.strerror}", file=sys.stderr)
        status = status or 1
    if status == INTERRUPTED:  # without waiting for what threads still compute; every file is whole or not there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


class _Module(ModuleType):
    """This module, which is called like the function `orchestrator.run` and hides it once it is imported."""

    def __call__(self, *stages: str, **settings: Any) -> Any:
        from orchestrator.library import run

        return run(*stages, **settings)


sys.modules[__name__].__class__ = _Module


if __name__ == "__main__":
    command()
