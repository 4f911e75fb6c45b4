"""The command line: `python -m orchestrator.run [STAGE ...]`, and the commands beside that."""

import os
import shlex
import signal
import sys

from orchestrator.command_line import parse, stage_names
from orchestrator.engine.book import Book
from orchestrator.engine.compare import print_differences
from orchestrator.engine.doctor import print_examination
from orchestrator.engine.execute import clean, report, run
from orchestrator.engine.plan import print_plan, print_status
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import shown
from orchestrator.paper import suite

COMMANDS = {
    "run": run,
    "plan": print_plan,
    "status": print_status,
    "doctor": print_examination,
    "report": report,
    "clean": clean,
}
LOOKING = {"plan", "status"}
"""Commands that leave a run folder as it is."""
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings, words = parse(arguments, suite())
        if words[:1] == ("compare",):
            return print_differences(settings.runs_dir, words[1:])
        command, words = (words[0], words[1:]) if words and words[0] in COMMANDS else ("run", words)
        names = stage_names(suite(), settings, words, COMMANDS)
        folder = Run(f"{settings.runs_dir.rstrip('/')}/{settings.run_name}")
        return COMMANDS[command](Book(suite(), settings, folder, set_aside=command not in LOOKING), names)
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        command_line = shlex.join(["python", "-m", "orchestrator.run", *arguments])
        print(f"\ninterrupted; what was finished is kept. To go on: {command_line}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:  # without waiting for what threads still compute; every file is whole or not there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
