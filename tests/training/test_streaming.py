"""A training on streamed images is one on images in memory: the same to the last bit whoever reads, resumed or not."""

import itertools
import json
import signal
import time

import pytest
import torch
from support import tiny
from support.archives import archive, numbered, png
from support.run_files import assert_same, entries

import colddiff as cd
from colddiff.apps.cli import main
from colddiff.data import ImageData
from colddiff.degradations import Desaturate, Interpolate
from colddiff.training.batches import Batches
from colddiff.training.loop import Loop, words
from colddiff.training.prefetch import PrefetchLoader
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted


@pytest.fixture
def shards(tmp_path):
    """60 pictures in three tar files."""
    for k in range(3):
        numbered(tmp_path / "shards" / f"{k}.tar", range(20 * k, 20 * k + 20))
    return tmp_path / "shards"


def config(shards, out, **changes):
    return tiny.config(out, data=str(shards), stream=True, image_size=8, **changes)


def test_any_number_of_workers_train_to_the_same_bits(shards, tmp_path):
    for workers in (1, 3):
        train(
            config(shards, tmp_path / str(workers), workers=workers, flip=True, max_shift=1, grad_accumulation=2),
            progress=False,
        )
    assert_same(tmp_path / "1", tmp_path / "3")
    told = json.loads((tmp_path / "1" / "config.json").read_text())
    assert told["data"]["images"] > 40 and told["image"] == {"channels": 1, "size": [8, 8]} and told["prior"]


def test_a_training_on_streamed_images_goes_on_to_the_last_bit(shards, tmp_path, monkeypatch):
    train(config(shards, tmp_path / "whole", steps=12), progress=False)
    original, calls = Loop.step, itertools.count()

    def stopping(self):
        if next(calls) == 7:  # within the second epoch
            signal.raise_signal(signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "step", stopping)
        train(config(shards, tmp_path / "cut", steps=12), progress=False)
    with pytest.warns(UserWarning, match="going on with other settings: workers was 2, now 4$"):
        train(config(shards, tmp_path / "cut", steps=12, workers=4), resume=True, progress=False)
    assert_same(tmp_path / "cut", tmp_path / "whole")
    assert entries(tmp_path / "cut", "loss") == entries(tmp_path / "whole", "loss")


def test_a_training_does_not_go_on_with_other_shards(shards, tmp_path):
    train(config(shards, tmp_path / "run", steps=2), progress=False)
    archive(shards / "2.tar", {f"{k:06d}.png": png(k) for k in range(40, 60)})  # as many, elsewhere
    with pytest.raises(ValueError, match=r"cannot resume, the data are no longer those of .*: index was"):
        train(config(shards, tmp_path / "run", steps=2), resume=True, progress=False)


def test_streamed_data_are_given_in_python_too(shards, tmp_path):
    data = cd.stream_data(shards, size=8)
    run = train(tiny.config(tmp_path / "run", data="mine", steps=2), data=data, progress=False)
    assert run.config["data"]["data"] == str(shards)
    with pytest.raises(TypeError, match=r"data must be ImageData .* or StreamedData .stream_data., got list"):
        train(tiny.config(tmp_path / "other"), data=[1])


def test_the_command_trains_measures_and_tells_what_it_waited_for(shards, tmp_path, capsys):
    out = str(tmp_path / "run")
    command = ["train", str(shards), "--stream", "--workers", "3", "--image-size", "8", "--degradation", "desaturate"]
    assert main.main([*command, "--steps", "2", "--log-every", "1", "--device", "cpu", "--out", out]) == 2
    assert "colddiff: " in capsys.readouterr().err  # grey pictures have no colour to lose
    command[command.index("desaturate")] = "gaussian_blur"
    assert main.main([*command, "--steps", "2", "--log-every", "1", "--device", "cpu", "--out", out]) == 0
    assert "| start | method" in capsys.readouterr().out
    assert len(entries(tmp_path / "run", "waited")) == 2


def test_pairs_cannot_be_streamed(shards, tmp_path):
    with pytest.raises(ValueError, match="streamed images bring nothing with them, interpolate needs endpoint"):
        config(shards, tmp_path / "run", degradation=Interpolate(), paired_data=str(shards))


def test_a_broken_picture_among_the_shards_is_passed_over_by_all_workers_alike(shards, tmp_path):
    archive(shards / "3.tar", {"000.png": b"broken", "001.png": b""})
    for workers in (1, 4):
        with pytest.warns(UserWarning) as told:
            train(config(shards, tmp_path / str(workers), workers=workers, split="all", steps=9), progress=False)
        words = " ".join(str(warning.message) for warning in told)
        assert "left out 2 of 62 images" in words and "stands in for one that is unreadable: 3.tar: 000.png" in words
    assert_same(tmp_path / "1", tmp_path / "4")


# --- the feed --------------------------------------------------------------------------------------------------------


class Slow(ImageData):
    """Images that take a while."""

    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)


class Gone(ImageData):
    def __getitem__(self, index):
        raise OSError("the shard is gone")


def feed_of(kind, workers):
    data = kind(torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).clone())
    batches = Batches(data, Desaturate(), 4, seed=0)
    return PrefetchLoader(batches, itertools.count(0, 8), torch.device("cpu"), workers), batches


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_feed_gives_the_batches_of_its_positions_in_turn(workers):
    feed, batches = feed_of(ImageData, workers)
    for position in range(0, 64, 8):
        assert torch.equal(next(feed).x0, batches.at(position, torch.device("cpu")).x0)
    feed.close()


def test_what_a_feed_waited_for_is_told_and_reading_ahead_makes_it_less():
    waited = []
    for pause in (0.0, 0.05):
        feed, _ = feed_of(Slow, 2)
        for _ in range(8):
            next(feed)
            time.sleep(pause)
        feed.close()
        waited.append(feed.waited)
    assert waited[0] > 0.03 and waited[1] < waited[0]


def test_what_goes_wrong_in_a_worker_ends_the_training():
    feed, _ = feed_of(Gone, 2)
    with pytest.raises(OSError, match="the shard is gone"):
        next(feed)
    feed.close()


def test_a_starved_training_says_so_beside_its_throughput():
    told = {"loss": 0.5, "images_per_second": 100.0, "seconds": 10.0, "waited": 4.0}
    assert words(told) == "loss=0.5000, images=100/s, waits for images 40% of the time: more --workers"
    assert "waits" not in words(told | {"waited": 0.5}) and "skipped=3" in words(told | {"skipped": 3})
