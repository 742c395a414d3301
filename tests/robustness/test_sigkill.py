"""A training that is killed, again and again, ends with the weights of one that was left alone."""

import os
import random
import signal

import pytest
from support import killable_training
from support.run_files import assert_same, entries

from colddiff.training.checkpoints import last_good, snapshots

KILLS = int(os.environ.get("COLDDIFF_KILLS", "20"))  # `make soak` asks for more
MOST_IN_A_RUN = 5  # so that a run comes to its end


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    killable_training.seconds_of(out.parent / "first")  # the server starts
    return out, killable_training.seconds_of(out)


@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_run_that_is_killed_at_random_moments_ends_as_if_nothing_had_been(undisturbed, tmp_path):
    whole, seconds = undisturbed
    moments, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        out, runs = tmp_path / str(runs), runs + 1
        for _ in range(MOST_IN_A_RUN):
            kills += killable_training.killed(out, moments.uniform(0, seconds))
        process = killable_training.started(out)
        process.join()
        assert process.exitcode == 0
        assert_same(out, whole)
        assert entries(out, "loss") == entries(whole, "loss")
        assert not [*out.rglob("*.part*"), *out.rglob("*.gone")]


def test_a_run_that_is_killed_at_any_write_of_a_checkpoint_ends_as_if_nothing_had_been(undisturbed, tmp_path):
    whole, _ = undisturbed
    for dies_at in range(0, 30, 2):  # a checkpoint and the files of the run are some twenty writes
        process = killable_training.started(tmp_path / "run", dies_at)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        found = snapshots(tmp_path / "run")
        assert last_good(tmp_path / "run") == (found[-1] if found else None)
    process = killable_training.started(tmp_path / "run")
    process.join()
    assert process.exitcode == 0
    assert_same(tmp_path / "run", whole)
