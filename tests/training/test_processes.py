"""Several processes train one network: equal losses, equal results, and an end if one is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tabimg.objectives import Gathering
from tabimg.training.processes import ONE_PROCESS, Processes, current_processes

PROGRAM = Path(__file__).with_name("run_together.py")
SECONDS = 120


def run(case: str, folder: Path, ranks: tuple[int, ...] = (0, 1)) -> dict[int, tuple[int, str]]:
    """Run a case in two processes; return the status and the messages of those of interest."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = {
        rank: subprocess.Popen(
            [sys.executable, str(PROGRAM), case, str(rank), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in (0, 1)
    }
    try:
        said = {rank: started[rank].communicate(timeout=SECONDS)[1] for rank in ranks}
        return {rank: (started[rank].returncode, said[rank]) for rank in ranks}
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as opened:
        return dict(opened)


def assert_same_bits(one: Path, other: Path) -> None:
    ours, theirs = arrays(one), arrays(other)
    assert ours.keys() == theirs.keys() and {"loss", "valid"} < ours.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_two_shares_give_loss_and_gradients_of_the_joint_batch(tmp_path: Path) -> None:
    for rank, (status, said) in run("equal_losses", tmp_path).items():
        assert status == 0, f"rank {rank}: {said}"


def test_two_processes_end_with_the_same_networks_and_histories(tmp_path: Path) -> None:
    for rank, (status, said) in run("fit", tmp_path).items():
        assert status == 0, f"rank {rank}: {said}"
    for kind in ("mt-cmtm", "citab", "cached"):
        assert_same_bits(tmp_path / f"{kind}-0.npz", tmp_path / f"{kind}-1.npz")
    held = [
        sum(len(np.load(index)["checksums"]) for index in tmp_path.glob(f"cache-{rank}/**/*.npz"))
        for rank in (0, 1)
    ]
    # 80 rows list 79 photos; each process reads its half, and both the one that two rows share.
    assert sorted(held) in ([39, 40], [40, 40])


def test_what_cannot_be_shared_is_an_error_in_both_processes(tmp_path: Path) -> None:
    for status, said in run("refused", tmp_path).values():
        assert status == 0, said
        assert "the rows differ between the processes of this run" in said
        assert "batch_size=4 leaves fewer than 4 of 58 rows per batch to one of 2" in said


def assert_lost(said: str) -> None:
    assert "LostProcessError: another process of this run has ended, or has not answered" in said
    assert "with checkpoint_dir, the run resumes after its last epoch" in said


def test_killed_process_ends_the_other_and_the_run_resumes(tmp_path: Path) -> None:
    ((status, said),) = run("killed", tmp_path, ranks=(0,)).values()
    assert status == 1
    assert_lost(said)
    assert len(list((tmp_path / "runs").iterdir())) == 1  # the first process alone writes
    for rank, (status, said) in run("resume", tmp_path).items():
        assert status == 0, f"rank {rank}: {said}"
        assert "training starts from the beginning" not in said
        assert_same_bits(tmp_path / f"resumed-{rank}.npz", tmp_path / f"whole-{rank}.npz")
    assert list((tmp_path / "runs").iterdir()) == []


def test_process_that_does_not_answer_ends_the_other_by_the_timeout(tmp_path: Path) -> None:
    ((status, said),) = run("stopped", tmp_path, ranks=(0,)).values()
    assert status == 1
    assert_lost(said)


def test_torchrun_starts_processes_that_find_each_other(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
        "from run_together import frame, pretrainer, save\n"
        "from tabimg.training.processes import current_processes\n"
        "fitted = pretrainer().fit(frame())\n"
        "processes = current_processes()\n"
        "assert processes.size == 2\n"
        f"save(fitted, Path({str(tmp_path)!r}) / f'{{processes.rank}}.npz')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run(
        [*command, str(script)],
        check=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert_same_bits(tmp_path / "0.npz", tmp_path / "1.npz")


@pytest.mark.parametrize("size", [2, 3, 7])
def test_shares_cover_all_rows_once_and_halve_the_photos(size: int) -> None:
    has_image = np.random.default_rng(0).random(100) < 0.3
    shares = [Processes(Gathering(rank, size)).share(has_image, 5) for rank in range(size)]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), np.arange(100))
    counts = [has_image[share].sum() for share in shares]
    assert max(counts) - min(counts) <= 1
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert not np.array_equal(shares[0], Processes(Gathering(0, size)).share(has_image, 6))


def test_one_process_exchanges_nothing_and_changes_nothing() -> None:
    value = torch.arange(3.0)
    assert ONE_PROCESS.gathering.gather(value) is value
    assert ONE_PROCESS.gathering.average(value) is value
    assert ONE_PROCESS.all_of("a") == ["a"]
    assert ONE_PROCESS.own_seed(5) == 5


def test_worker_processes_and_threads_of_a_run_train_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Were it not for the thread, this would look like a process that torchrun has started.
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    found: list[Processes] = []
    thread = threading.Thread(target=lambda: found.append(current_processes()))
    thread.start()
    thread.join()
    assert found == [ONE_PROCESS]
