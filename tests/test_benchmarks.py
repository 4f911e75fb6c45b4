"""What benchmarks give, and what they are told; their measurements are not tests'."""

import subprocess
import sys

import pytest

from benchmarks import loops
from benchmarks.commands import Memory, timed
from benchmarks.rows import ratios, spread, turn_by_turn
from tests.command import REPOSITORY
from trainables.autoencoder_settings import PAPER_TABLE1
from trainables.fashion_mnist import load


def test_sides_take_turns_and_are_compared_turn_by_turn() -> None:
    order: list[str] = []
    given = iter([1.0, 3.0, 2.0, 8.0, 4.0, 10.0])

    def side(name: str) -> float:
        order.append(name)
        return next(given)

    times = turn_by_turn({"ours": lambda: side("ours"), "theirs": lambda: side("theirs")}, 3)
    assert order == ["ours", "theirs"] * 3
    assert ratios(times["theirs"], times["ours"]) == [3.0, 4.0, 2.5]
    assert spread([3.0, 4.0, 2.5]) == "3.00 (2.50 to 4.00)"
    assert spread([1234.5], 0) == "1,234"


def test_a_part_that_there_is_not_is_one_line_and_exit_status_2() -> None:
    command = [sys.executable, "-m", "benchmarks", "loops", "loop"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: there is no part loop; there are loops, folds, searching, start, trials, gpu\n"


def test_a_program_that_fails_is_no_time() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended with 3:.*why"):
        timed([sys.executable, "-c", "print('why'); raise SystemExit(3)"])


def test_the_memory_of_a_program_is_its_greatest() -> None:
    memory = Memory()
    timed([sys.executable, "-c", "import time; a = b'x' * 2**28; time.sleep(.6); del a; time.sleep(.6)"], memory)
    assert 250 < memory.driver < 350
    assert memory.workers == 0


def test_all_loops_train_the_same_network_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    build = loops.build
    monkeypatch.setattr(loops, "build", lambda settings, seed: seen.append(build(settings, seed=seed)) or seen[-1])
    monkeypatch.setattr(loops, "NUM_IMAGES", 512)
    with loops.torchvision_folder() as folder:
        dataset = loops.torchvision_dataset(folder)
    image, label = dataset[7]
    assert (image * 255).round().byte().numpy().tolist() == [load().train_images[7].tolist()]
    assert label == load().train_labels[7]
    trainings = loops.usual_loop(PAPER_TABLE1, dataset), loops.lightning_loop(PAPER_TABLE1, dataset)
    for loop, model in zip(trainings, seen, strict=True):
        before = [weights.clone() for weights in model.parameters()]
        loop()
        assert not any(old.equal(new) for old, new in zip(before, model.parameters(), strict=True))
    first, second = ({name: it.shape for name, it in model.state_dict().items()} for model in seen)
    assert first == second
