"""Which stage is done when: each once what it needs is trained, all trainings of a turn as one stream of trials.

Trainings run in Ray; what a stage's trainings are given is computed, and its tables are written, in threads of this
process while the others train.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from graphlib import TopologicalSorter

from orchestrator.engine.allowance import cores
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.heap import give_back_memory
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.phases import turns
from orchestrator.engine.plan import Plan
from orchestrator.engine.progress import Progress
from orchestrator.engine.stage_run import StageRun

WAIT_SECONDS = 0.5
"""How often a wait looks whether the run is halted."""


class Scheduler:
    """The stages that a plan has to do, begun as soon as they can be; the source of Tune's trials.

    The manifest gets an entry for each of them. `connect` is called once, where something is to be trained;
    `disconnect` once all is trained, while the last tables are written.
    """

    def __init__(
        self,
        plan: Plan,
        manifest: Manifest,
        progress: Progress,
        connect: Callable[[], Cluster],
        disconnect: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan, self._book, self._manifest = plan, plan.book, manifest
        self._progress, self._connect, self._disconnect = progress, connect, disconnect
        self._to_do = [stage.name for stage in plan.to_do]
        self._needs = {name: [n for n in self._book.needs(name) if n in self._to_do] for name in self._to_do}
        self._turns = turns(self._needs, {stage.name for stage in plan.to_do if stage.shared})
        self._turn = 0
        self._order = TopologicalSorter(self._needs)
        self._order.prepare()
        self._ready: list[str] = []
        """Stages whose needs are trained; those of a later turn wait."""
        self._trained: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Stages with nothing left to train, put there by whoever comes upon it."""
        self._ending: list[threading.Thread] = []
        """Those that write results, and those that wait until they may."""
        self._writing = threading.Semaphore(1)
        """Stages that may write at a time: one until all is trained, for the memory's sake; then one a core."""
        self.runs: dict[str, StageRun] = {}
        """Stages that have begun."""
        self._given_up: set[str] = set()
        """Those whose trainings ended in an exception that is none of a training's own."""
        self._finished: set[str] = set()
        """Those whose trainings are all recorded."""
        self._cluster: Cluster | None = None
        self._broken: Exception | None = None
        """Why nothing more can be trained with Ray Tune."""
        self._halted: BaseException | None = None
        """Why nothing more can be done at all."""

    def run(self) -> None:
        """Do all stages, turn by turn; stages that train nothing end beside the trainings of later ones.

        Raises:
            UserError: the data cannot be had, no Ray answers, or the run folder takes no more files.
        """
        try:
            self._do_all()
        except BaseException as error:
            self.halt(error)  # what waits to be written is not begun, now that the run folder may be another's
            raise

    def _do_all(self) -> None:
        for name in self._manifest.stages.keys() & set(self._to_do) - self._plan.anew:
            entry = self._manifest.stages[name]  # what it builds on may change before it has begun itself
            self._manifest.stages[name] = entry.model_copy(update={"state": "running"})
        self._book.run.write_manifest(self._manifest)
        if any(self._plan.num_missing(stage) for stage in self._plan.to_do):
            self._book.data  # noqa: B018  (what cannot be had is told of before anything starts)
        for turn in range(1 + max(self._turns.values(), default=0)):
            self._turn = turn
            while not self.exhausted:
                self._begin_ready()
                training = self._training()
                if not any(stage_run.prepared for stage_run in training):
                    self._wait()
                elif self._turn % 2:
                    self._train_shared(next(stage_run for stage_run in training if stage_run.prepared))
                else:
                    self._train()
            self._raise_if_halted()
        for _ in range(cores() - 1):
            self._writing.release()
        self._disconnect()
        while self._order.is_active():
            self._begin_ready()
            self._wait()
        for thread in self._ending:
            while thread.is_alive():
                thread.join(WAIT_SECONDS)
                self._raise_if_halted()
        self._raise_if_halted()

    def _train(self) -> None:
        """Run the trainings of all of this turn's stages, also of those that can begin only later."""
        cluster = self._connected()
        from orchestrator.engine.ray_tune import run_trials  # Ray Tune is imported while Ray starts

        try:
            run_trials(self, cluster, self._book.data, self._book.run)
        except Exception as error:
            self._book.run.check_space()  # what Ray itself cannot write is an exception of any kind
            self._broken = error
            for stage_run in self._training():
                self._give_up(stage_run, error)

    def _train_shared(self, stage_run: StageRun) -> None:
        cluster = self._connected()
        from orchestrator.engine.ray_train import train_together

        try:
            train_together(stage_run, cluster, self._book.data, self._book.run)
        except Exception as error:
            self._give_up(stage_run, error)

    def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._connect()
            self._book.slots = self._cluster.slots
        return self._cluster

    def next(self) -> StageRun | None:
        """The stage whose trial is to start now: that which most others wait for, or that takes longest."""
        if self.halted:
            return None
        self._begin_ready()
        ready = [stage_run for stage_run in self._training() if stage_run.prepared and stage_run.study.waiting]
        return max(ready, key=lambda it: (self._num_depending_on(it.name), it.longest), default=None)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to train in this turn."""
        if self.halted:
            return True
        to_come = [name for name in self._to_do if name not in self.runs and self._book.stages[name].config]
        return not self._training() and not any(self._turns[name] == self._turn for name in to_come)

    @property
    def halted(self) -> bool:
        """Whether what runs is to be given up."""
        return self._halted is not None

    def halt(self, error: BaseException) -> None:
        """Nothing more can be done, for this reason."""
        self._halted = self._halted or error

    def _raise_if_halted(self) -> None:
        if self._halted is not None:
            raise self._halted

    def is_training(self) -> bool:
        """Whether any trial is with a worker, or waits for one to start."""
        return any(stage_run.study.running for stage_run in list(self.runs.values()))

    def _training(self) -> list[StageRun]:
        """Stages of this turn with trainings left."""
        own = (run for name, run in self.runs.items() if self._turns[name] == self._turn)
        return [run for run in own if run.study.num_missing and run.name not in self._given_up]

    def _num_depending_on(self, name: str) -> int:
        direct = [other for other in self._to_do if other not in self.runs and name in self._needs[other]]
        return len(direct) + sum(self._num_depending_on(other) for other in direct)

    def _wait(self) -> None:
        """Until a stage is trained, or for a moment."""
        with contextlib.suppress(queue.Empty):
            self._order.done(self._trained.get(timeout=WAIT_SECONDS))
        self._raise_if_halted()

    def _begin_ready(self) -> None:
        while not self._trained.empty():
            self._order.done(self._trained.get())
        self._ready += self._order.get_ready()
        for name in [name for name in self._ready if self._turns[name] <= self._turn]:
            self._ready.remove(name)
            self._begin(name)

    def _begin(self, name: str) -> None:
        stage_run = self.runs[name] = StageRun(name, self._book, self._manifest, self._progress, self._finish)
        lacking = ", ".join(filter(None, (self._lacking(need, name) for need in self._book.needs(name))))
        if lacking:
            self._end(lambda: stage_run.enter("blocked", f"needs {lacking}, which failed"))
            self._trained.put(name)
            return
        try:
            stage_run.begin(anew=name in self._plan.anew)
            if stage_run.study.num_missing and self._broken and not stage_run.stage.shared:
                raise self._broken
        except Exception as error:
            self._give_up(stage_run, error)
        else:
            if not stage_run.prepared:
                threading.Thread(target=self._prepare, args=(stage_run,), name=name, daemon=True).start()

    def _lacking(self, need: str, name: str) -> str:
        """What another stage lacks of one that it needs, whose tables may still be written; empty for nothing."""
        done = self._manifest.stages[need].state == "done"
        trained = self._book.stages[need].config is not None and self._book.provides(need, name)
        return "" if done or trained else self._book.lacking(need, name)

    def _prepare(self, stage_run: StageRun) -> None:
        try:
            stage_run.prepare()
        except Exception as error:
            self._give_up(stage_run, error)

    def _finish(self, stage_run: StageRun) -> None:
        # A daemon: what is computed here does not hold up an interrupted process.
        thread = threading.Thread(target=self._write, args=(stage_run,), name=stage_run.name, daemon=True)
        self._ending.append(thread)
        thread.start()
        if stage_run.stage.config:
            self._trained.put(stage_run.name)
        self._finished.add(stage_run.name)

    def _write(self, stage_run: StageRun) -> None:
        is_waited_for = not stage_run.stage.config and any(stage_run.name in it for it in self._needs.values())
        with contextlib.nullcontext() if is_waited_for else self._writing:
            if self.halted:
                return
            self._end(stage_run.finish)
        give_back_memory()
        if not stage_run.stage.config:  # what needs it waits for all that it gives
            self._trained.put(stage_run.name)

    def _give_up(self, stage_run: StageRun, error: Exception) -> None:
        if stage_run.name in self._given_up | self._finished:
            return  # once is enough; and what is trained is, whatever fails after that
        self._given_up.add(stage_run.name)
        self._end(lambda: stage_run.crash(error))
        self._trained.put(stage_run.name)

    def _end(self, last: Callable[[], None]) -> None:
        try:
            last()
        except Exception as error:
            self.halt(error)
