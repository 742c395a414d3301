"""A training: from settings and images to a run.

`train` prepares what `loop.Loop` then does step by step. All randomness is keyed by (seed, global sample position,
step), so the image at position p, its time, its params and its augmentation are the same however the run was cut; a
checkpoint holds the step, weights, averaged weights, optimizer moments and counters, as safetensors and JSON, with
their checksums (`checkpoints`; what may differ when a run goes on is in `resume`). Of several processes each has its
part of every batch (`distributed`); streamed images are read ahead by threads (`prefetch`), which may be any number,
as a batch is a function of its position. Where a loss or its gradient is not finite, the optimizer is told so on the
device (`nan_guard`). `docs/guides/clusters.md` says what is guaranteed. A budget in minutes becomes a number of steps
by timing a few on a copy that is thrown away (on one CPU thread too, which wins by far where another program has a
core); the number is saved, so the learning rate and a resumed run follow it exactly. Nothing in a step waits for the
device: losses are looked at every tenth step and read every `log_every` steps, several processes ask each other about
signals every two seconds.

What a network sees can be rounded to 8 bits (`quantize_inputs`), carry noise (`input_noise`), be for every other
image where its own step of `improved` from a later time leads (`rollout`), and have a damaged picture beside it
(`condition`: such a run walks from its prior, `Run.input_degradation` is what degraded the image). `WienerUNet` sees
the best linear estimate, computed in float64 from statistics that it takes from the training images before all else
(`fit`). Params that are other images (`target_data`) meet another one every time.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ..data.dataset import ImageData
from ..data.streaming.dataset import StreamedData
from ..evaluation.calibration import calibrate
from ..models import serialization
from ..models.baselines import baseline_for
from ..models.networks.unet import RestorerConfig
from ..models.precision import CompiledModel, pick_precision
from ..models.run import Run
from ..models.time_estimator import FILE as TIME_ESTIMATOR
from ..utils.distributed import all_reduce, is_first, join, on_main_process, rank_and_world
from ..utils.files import LARGEST_JSON, locked, read_json, size_in_words
from ..utils.numerics import cpu_threads
from ..utils.progress import LOGGER, Progress, event
from ..utils.rng import seed_for
from ..utils.safetensors_io import check_types
from ..utils.signals import Interrupted, Stopped, interruptible
from .batches import Batches
from .checkpoints import check_disk, clear_away, load_snapshot, saving, snapshots
from .config import TrainConfig
from .log import Log, tensorboard_writer
from .loop import Loop, average
from .loss import adam, loss_on, restoration_loss
from .nan_guard import NonFiniteGuard
from .prefetch import PrefetchLoader
from .resume import TrainState, changed, check_same_data, environment, starting_point, tell_environment, told_of_data
from .setup import images_for, in_memory, prior_for, restorer_for
from .time_budget import steps_in
from .time_estimator import fit_estimator, images_within, worth_fitting

DEFAULT_MINUTES = 10.0


def train(
    config: TrainConfig, *, net: nn.Module | None = None, data: ImageData | StreamedData | None = None,
    held_out: ImageData | None = None, resume: bool = False, progress: bool = True,
) -> Run:  # fmt: skip
    """Train a restorer and leave a run in `config.out`; under torchrun every process calls it.

    Args:
        config: what to train on what.
        net: a network of your own, called (x, t) -> x0_hat, instead of `config.restorer`.
        data: images in memory, as `from_images` makes them, or streamed ones, instead of those that `config.data` then
            merely names.
        held_out: images that the training is checked on; a tenth of `data` if left out.
        resume: go on from the last checkpoint of `config.out`, with the same settings; without one, begin.
        progress: show a bar.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and the state saved.
        OSError: the disk is full, say; the checkpoints that were there are as they were.
        RuntimeError: losses were not finite, and were not again after the last checkpoint was put back.
    """
    accelerator, run_dir = join(config.device), Path(config.out)
    if run_dir.exists() and not run_dir.is_dir():
        raise ValueError(f"{str(run_dir)!r} is a file: give a folder for the run")
    cards = [torch.cuda.current_device()] if accelerator.device.type == "cuda" else []
    with locked(run_dir, "trains") if is_first() else contextlib.nullcontext(), torch.random.fork_rng(cards):
        start = starting_point(run_dir, config, resume)
        _check(config, net, start)
        if is_first():
            clear_away(run_dir, config.keep_checkpoints)
        loop, threads, estimate = _prepared(accelerator, config, start, net, data, held_out, progress)
        with contextlib.closing(loop), cpu_threads(threads), interruptible() as stopped:
            loop.run(stopped)
            estimate(stopped)
        accelerator.wait_for_everyone()
        return serialization.load(run_dir, device=config.device, net=None if net is None else loop.ema)


def trained(
    config: TrainConfig, data: ImageData | None = None, held_out: ImageData | None = None, *, progress: bool = True
) -> Run:
    """The run of a training: as it is found in `config.out`, gone on with, or made.

    Raises:
        ValueError: a run of another training is there.
    """
    if not complete(config):
        resume = bool(snapshots(Path(config.out)))
        return train(config, data=data, held_out=held_out, resume=resume, progress=progress)
    if data is not None:
        check_same_data(Path(config.out), read_json(Path(config.out) / "config.json")["data"], data)
    return serialization.load(config.out, device=config.device)


def complete(config: TrainConfig) -> bool:
    """Whether the run of a training is there and came to its end.

    Raises:
        ValueError: a run of another training is there.
    """
    file = Path(config.out) / "config.json"
    if not file.is_file():
        return False
    told, now = read_json(file), config.to_config()
    other = changed(now, told["training"])
    if other:
        raise ValueError(
            f"{config.out!r} is a run of another training: {other}; give what it was made with, or another folder"
        )
    return bool(told["step"] == told["training"]["total_steps"])


# --- from settings to steps ------------------------------------------------------------------------------------------


def _check(config: TrainConfig, net: nn.Module | None, start: Path | None) -> None:
    """Raise for what would only be found later."""
    if net is not None and (config.restorer is not None or config.predict != "x0"):
        raise ValueError("a network of your own is its own restorer and predicts x0: leave out restorer and predict")
    if net is not None:
        check_types(net.state_dict())
        if not any(parameter.requires_grad for parameter in net.parameters()):
            raise ValueError(f"{type(net).__name__} has no parameters to train: give a network with some")
    if config.tensorboard:
        tensorboard_writer()
    _, processes = rank_and_world()
    if config.batch_size % processes:
        raise ValueError(
            f"batch_size {config.batch_size} cannot be split evenly over {processes} processes: give a multiple of them"
        )
    step = -1 if start is None else int(start.name.removeprefix("step-"))
    if all_reduce(step, min) != all_reduce(step, max):
        raise ValueError(f"the processes do not find the same checkpoint: put {config.out!r} on a disk that all share")


def _prepared(
    accelerator: Accelerator, config: TrainConfig, start: Path | None, net: nn.Module | None,
    data: ImageData | StreamedData | None, held_out: ImageData | None, progress: bool,
) -> tuple[Loop, int, Callable[[Stopped], None]]:  # fmt: skip
    """What the steps need, as it was at a checkpoint or at the beginning; on how many threads; and what comes after."""
    device, (rank, processes), run_dir = accelerator.device, rank_and_world(), Path(config.out)

    data, held_out = images_for(config, data, held_out)
    if start is not None:
        check_same_data(run_dir, read_json(start / "state.json").get("data", {}), data)
    measured, asked = in_memory(data), config.to_config()
    if config.calibrate is not None:
        config = replace(config, degradation=calibrate(config.degradation, measured, config.calibrate))
    if rank == 0:
        LOGGER.debug("fitting what generation starts from and the classical restorer, to %d images", len(measured))
    prior, baseline = prior_for(config, measured), baseline_for(config.degradation, measured)
    spec = restorer_for(config, measured) if net is None else None
    net = _network(spec, net, measured, config.seed).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    ema, bare = copy.deepcopy(net).eval().requires_grad_(False), adam(net, config.lr)
    if rank == 0:
        check_disk(run_dir, net, config.keep_checkpoints)
    checks = Batches(
        held_out, config.degradation, config.batch_size, config.seed,
        noise=config.input_noise, condition=config.condition,
    )  # fmt: skip
    batches = replace(
        checks, data=data, size=config.batch_size // processes, flip=config.flip, shift=config.max_shift,
        rollout=config.rollout,
    )  # fmt: skip

    now, threads, count = _standing(config, start, net, ema, bare, batches, device)
    if start is not None:
        event(f"resuming from step {now.step:,} of {now.steps:,}: {str(start)!r}")
    event(f"training in {now.precision} on {device}")
    described = _run_config(config, spec, data) | {"training": asked | {"total_steps": now.steps}}
    if len(json.dumps(described)) > LARGEST_JSON / 2:
        raise ValueError(f"the settings are more than {size_in_words(LARGEST_JSON / 2)} as JSON: give shorter tables")

    def publish() -> None:
        told = described | {"precision": now.precision, "step": now.step}
        serialization.save(run_dir, ema.state_dict(), told, prior, baseline)

    if start is not None and rank == 0:
        publish()  # the checkpoint may have been the last thing that was written
    fast = CompiledModel(net, loss_on(batches.at(0, device), config), now.precision) if config.compile else None
    model, optimizer = accelerator.prepare(fast or net, bare)
    done = now.step * config.grad_accumulation * config.batch_size
    positions = itertools.count(done + rank * batches.size, config.batch_size)
    streamed = isinstance(data, StreamedData)
    loop = Loop(
        config, now, accelerator, net, ema, model, optimizer, bare,
        PrefetchLoader(batches, positions, device, workers=config.workers if streamed else 0, waited=now.waited),
        checks, NonFiniteGuard(net, device, now.skipped, now.in_a_row),
        Log(run_dir / "log.jsonl", after=now.step, tensorboard=config.tensorboard) if rank == 0 else None,
        Progress(
            (), "train", now.steps, initial=now.step, title=run_dir.name, unit="step", show=progress, leave=True
        ),
        fast,
        {
            "environment": environment(device, processes, threads), "data": told_of_data(data), "training": asked,
            "estimator_steps": count,
        },
        publish, streamed,
    )  # fmt: skip
    seen = replace(batches, data=measured)
    return (
        loop,
        threads,
        partial(_estimate, now, run_dir, seen, checks, count if config.estimate_time else 0, device, progress),
    )


def _estimate(
    now: TrainState, run_dir: Path, seen: Batches, checks: Batches, count: int, device: torch.device, progress: bool,
    stopped: Stopped,
) -> None:  # fmt: skip
    """Leave in the run what tells how damaged a picture is, if it is worth it and not there.

    Raises:
        Interrupted: a signal came, to any process; it is begun anew when the training goes on.
    """

    def work(signalled: Callable[[], int]) -> None:
        if count and not (run_dir / TIME_ESTIMATOR).exists():
            event(f"fitting the time estimator to {count:,} images")
            found = fit_estimator(seen, checks, count, device, progress=progress, stopped=lambda: bool(signalled()))
            if found is not None:
                with saving(run_dir):
                    found.save(run_dir)

    signum = on_main_process(work, lambda: stopped.signum or 0)
    if signum:
        raise Interrupted(now.step, signum)


def _standing(
    config: TrainConfig, start: Path | None, net: nn.Module, ema: nn.Module, bare: torch.optim.Optimizer,
    batches: Batches, device: torch.device,
) -> tuple[TrainState, int, int]:  # fmt: skip
    """Where it begins, with its budget in steps, or where a checkpoint says, put back; on how many threads; and from
    how many images an estimator beside it would learn.
    """
    threads, (_, processes) = torch.get_num_threads(), rank_and_world()
    if start is not None:
        state = load_snapshot(start, net, ema, bare)
        threads = min(threads, state["environment"]["threads"])
        tell_environment(environment(device, processes, threads), state["environment"])
        now, most = TrainState.of(state, start), None if config.steps else state.get("estimator_steps")
    else:
        precision, steps, most = pick_precision(config.precision, device), config.steps or 0, None
        if not steps:
            seconds = 60 * (config.minutes or DEFAULT_MINUTES)
            spared, most = images_within(seconds, config, batches, device) if config.estimate_time else (0.0, None)
            event("timing a few steps for the time budget")
            steps, threads = steps_in((seconds - spared) / 60, _trial(net, batches, config, precision, device), device)
            event(f"{steps:,} steps fit into {seconds / 60:g} minutes")
        now = TrainState(all_reduce(steps, min), precision)
    # As if there is to be one: whoever goes on may decide otherwise.
    return now, threads, worth_fitting(replace(config, estimate_time=True), now.steps, batches.data.shape, most)


def _network(spec: RestorerConfig | None, own: nn.Module | None, data: ImageData, seed: int) -> nn.Module:
    """The network asked for, or the user's own, fitted to the images where it can be."""
    torch.manual_seed(seed_for(seed, "weights"))
    if spec is None:
        assert own is not None
        return own
    net = spec.build()
    fit: Any = getattr(net, "fit", None)
    if fit is not None:
        fit(data.images)
    return net


def _run_config(config: TrainConfig, spec: RestorerConfig | None, data: ImageData | StreamedData) -> dict[str, Any]:
    return {
        "restorer": None if spec is None else spec.to_config(),
        "degradation": config.degradation.to_config(),
        "image": {"channels": data.shape[0], "size": list(data.shape[1:])},
        "data": data.protocol,
    }


def _trial(
    net: nn.Module, batches: Batches, config: TrainConfig, precision: str, device: torch.device
) -> Callable[[int], None]:
    """A training step on a copy of the network, for timing."""
    trial = copy.deepcopy(net)
    optimizer = adam(trial, 0.0)

    def step(k: int) -> None:
        for micro in range(config.grad_accumulation):
            batch = batches.at((k * config.grad_accumulation + micro) * config.batch_size, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = restoration_loss(trial, config.degradation, batch, config)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        average(trial, net, 1.0)
        float(loss.detach())  # waits for the device

    return step
