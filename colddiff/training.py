"""One readable training loop: restore what a degradation did, at every severity."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from . import checkpoint, viz
from .baselines import baseline_for
from .batches import Batches
from .budget import cpu_threads, steps_in
from .data import ImageData
from .fast import CompiledModel, FastRestorer, pick_precision
from .feed import Feed
from .files import read_json
from .grids import time_grid
from .guard import Guard
from .interruption import Interrupted, interruptible
from .objective import adam, loss_on, restoration_loss, validation_loss
from .processes import agreed, join, place, tell
from .restoration import restore, suited_sampler
from .resuming import Standing, changed, check_same_data, environment, starting_point, tell_environment
from .run import Run
from .runlog import Log, tensorboard_writer
from .samplers import Restorer, named_sampler
from .seeds import generator_for, seed_for
from .settings import TrainConfig, images_for, in_memory, prior_for, restorer_for
from .snapshots import check_disk, clear_away, last_good, load_snapshot, save_snapshot, saving, snapshots
from .streams import StreamedData
from .unet import RestorerConfig

GATE = 0.02  # largest share by which bf16 may raise the validation loss
FIRST_GATE = 100  # the step of a first look, for runs that end before the first validation
AGREE_EVERY = 2.0  # seconds after which several processes ask each other about signals, which waits for the device
MOST_SKIPPED = 10  # steps in a row without a finite loss, before the last checkpoint is put back
STARVED = 0.1  # share of the time in which steps wait for images, from which the bar says so
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
    # Validate, and find out where to start.
    accelerator = join(config.device)
    device, (rank, processes), run_dir = accelerator.device, place(), Path(config.out)
    start = starting_point(run_dir, config, resume)
    if net is not None and (config.restorer is not None or config.predict != "x0"):
        raise ValueError("a network of your own is its own restorer and predicts x0: leave out restorer and predict")
    if config.tensorboard:
        tensorboard_writer()  # said before the work, if it is missing
    if config.batch_size % processes:
        raise ValueError(
            f"batch_size {config.batch_size} cannot be split evenly over {processes} processes: give a multiple of them"
        )

    # Data and network.
    data, held_out = images_for(config, data, held_out)
    if start is not None:
        check_same_data(run_dir, data)
    measured = in_memory(data)
    prior = prior_for(config, measured)
    baseline = baseline_for(config.degradation, measured)
    torch.manual_seed(seed_for(config.seed, "weights"))
    spec = None if net is not None else restorer_for(config, measured)
    net = (spec.build() if spec is not None else net).to(device, memory_format=torch.channels_last).train()  # type: ignore[union-attr,call-overload]
    fit: Any = getattr(net, "fit", None)
    if spec is not None and fit is not None:
        fit(measured.images)
    del measured
    ema = copy.deepcopy(net).eval().requires_grad_(False)
    bare = adam(net, config.lr)
    if rank == 0:
        clear_away(run_dir)
        check_disk(run_dir, net, config.keep)
    checks = Batches(
        held_out, config.degradation, config.batch_size, config.seed,
        noise=config.input_noise, condition=config.condition,
    )  # fmt: skip
    batches = replace(checks, data=data, size=config.batch_size // processes, flip=config.flip, shift=config.shift)

    # Budget, or what was left of it.
    threads, agree_every = torch.get_num_threads(), 1
    if start is not None:
        state = load_snapshot(start, net, ema, bare)
        now = Standing.of(state, start)
        threads = min(threads, state["environment"]["threads"])
        tell_environment(environment(device, processes, threads), state["environment"])
    else:
        precision, steps = pick_precision(config.precision, device), config.steps or 0
        if not steps:
            minutes = config.minutes or DEFAULT_MINUTES
            steps, threads = steps_in(minutes, _trial(net, batches, config, precision, device), device)
        now = Standing(agreed(steps, min), precision)
    if agreed(now.step, min) != agreed(now.step, max):
        raise ValueError(f"the processes do not find the same checkpoint: put {config.out!r} on a disk that all share")
    fast = CompiledModel(net, loss_on(batches.at(0, device), config), now.precision) if config.compile else None
    model, optimizer = accelerator.prepare(fast or net, bare)
    guard = Guard(device, now.skipped, now.in_a_row)
    each = config.batch_size * config.accumulate  # images per step
    positions = itertools.count(now.step * each + rank * batches.size, config.batch_size)
    streamed = isinstance(data, StreamedData)
    feed = Feed(batches, positions, device, workers=config.workers if streamed else 0, waited=now.waited)
    log = Log(run_dir / "log.jsonl", after=now.step, tensorboard=config.tensorboard) if rank == 0 else None
    saved_config = _run_config(config, spec, data, now.steps)

    def publish() -> None:
        told = saved_config | {"precision": now.precision, "step": now.step}
        checkpoint.save(run_dir, ema.state_dict(), told, prior, baseline)

    if start is not None and rank == 0:
        publish()  # the checkpoint may have been the last thing that was written
    quiet = None if progress and rank == 0 else True
    bar = tqdm(total=now.steps, initial=now.step, desc=run_dir.name, unit="step", disable=quiet)
    closing = contextlib.nullcontext() if log is None else contextlib.closing(log)
    with bar, closing, contextlib.closing(feed), cpu_threads(threads), interruptible() as stopped:
        while now.step < now.steps:
            began = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(now.step, now.steps, config)
            torch.manual_seed(seed_for(config.seed, "step", now.step, rank))
            loss = _step(model, optimizer, accelerator, feed, guard, config, now.precision)
            _average(ema, net, min(config.ema_decay, (1 + now.step) / (10 + now.step)))
            now.step += 1
            signum = agreed(stopped.signum or 0, max) if now.step % agree_every == 0 else 0
            ends = now.step == now.steps
            saved = now.step % config.checkpoint_every == 0 or ends or signum != 0
            noted = now.step % config.log_every == 0 or saved  # no state is saved whose loss was not looked at
            if noted:
                loss = loss.cpu()  # waits for the device, so that the clock counts work and not its launching
            now.seconds += time.perf_counter() - began
            bar.update()
            if noted:
                now.skipped, now.in_a_row = guard.counts()
                now.waited = feed.waited
                if now.in_a_row >= min(MOST_SKIPPED, now.steps):
                    _go_back(run_dir, now, net, ema, bare)
                    guard = Guard(device, now.skipped)
                if log is not None:
                    told = {"loss": float(loss), "lr": group["lr"], "images_per_second": each * now.step / now.seconds}
                    told |= {"seconds": now.seconds} | ({"skipped": now.skipped} if now.skipped else {})
                    told |= {"waited": now.waited} if streamed else {}
                    with saving(run_dir):
                        log.write(step=now.step, **told)
                    bar.set_postfix_str(_words(told))
            if now.step % config.validate_every == 0 or now.step == FIRST_GATE or ends:
                value, drift = validation_loss(ema, checks, config, now.precision, device)
                now.validation_loss = value if math.isfinite(value) else None
                if agreed(int(not drift <= GATE), max):
                    warnings.warn(f"bf16 raises the validation loss by {drift:.1%}: going on in float32", stacklevel=2)
                    now.precision = "fp32"
                if fast is not None and (now.step == FIRST_GATE or fast.precision != now.precision):
                    fast.check(now.precision)
                if log is not None:
                    with saving(run_dir):
                        log.write(step=now.step, validation_loss=value, bf16_drift=drift)
            if rank == 0:
                with saving(run_dir):
                    if now.step % config.sample_every == 0 or ends:
                        picture = run_dir / "samples" / f"step-{now.step:08d}.png"
                        _picture(picture, FastRestorer(ema, now.precision), checks, device)
                    if saved:
                        where = {"environment": environment(device, processes, threads), "training": config.to_config()}
                        save_snapshot(run_dir, net, ema, bare, asdict(now) | where, keep=config.keep)
                        publish()
            if processes > 1 and now.step % config.log_every == 0:
                agree_every = agreed(max(1, int(AGREE_EVERY * now.step / now.seconds)), min)
            if signum and not ends:
                accelerator.wait_for_everyone()  # torchrun ends the others when the first is gone
                raise Interrupted(now.step, signum)
    accelerator.wait_for_everyone()
    return checkpoint.load(run_dir, device=config.device, net=None if spec is not None else ema)


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
        check_same_data(Path(config.out), data)
    return checkpoint.load(config.out, device=config.device)


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


# --- one step --------------------------------------------------------------------------------------------------------


def _step(
    model: nn.Module, optimizer: Any, accelerator: Accelerator, feed: Feed, guard: Guard,
    config: TrainConfig, precision: str,
) -> Tensor:  # fmt: skip
    """One optimizer step over `accumulate` batches, split over the processes; their mean loss."""
    total = torch.zeros((), device=accelerator.device)
    for micro in range(config.accumulate):
        batch = next(feed)
        ready = micro == config.accumulate - 1
        with contextlib.nullcontext() if ready else accelerator.no_sync(model):
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = restoration_loss(model, config.degradation, batch, config) / config.accumulate
            accelerator.backward(loss)
        total += loss.detach()
    mean: Tensor = accelerator.reduce(total, "mean")
    guard.step(optimizer, mean, accelerator.clip_grad_norm_(model.parameters(), config.clip))
    optimizer.zero_grad()
    return mean


def _go_back(run_dir: Path, now: Standing, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the last good weights back, once; the training goes on from there with the images that come next.

    Raises:
        RuntimeError: it went back before, or there is nothing to go back to.
    """
    happened = f"the loss was not finite for {now.in_a_row} steps up to step {now.step}"
    found = None if now.went_back else last_good(run_dir)
    if found is None:
        why = "as before it went back to a checkpoint" if now.went_back else "and there is no checkpoint to go back to"
        lr = optimizer.param_groups[0]["lr"]
        raise RuntimeError(f"{happened}, {why}: try a smaller lr than {lr:g}, or precision fp32")
    state = load_snapshot(found, net, ema, optimizer)
    tell(f"{happened}: the weights of step {state['step']} are put back, and the training goes on")
    now.in_a_row, now.went_back = 0, True


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth, or none."""
    warmup = min(config.warmup_steps, max(steps // 10, 1))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if not config.decay:
        return config.lr
    share = (step - warmup) / max(steps - warmup, 1)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


@torch.no_grad()
def _average(ema: nn.Module, net: nn.Module, decay: float) -> None:
    """ema = decay ema + (1 - decay) net, over parameters; buffers (running means, tables) are taken as they are."""
    torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
    for mine, theirs in zip(ema.buffers(), net.buffers(), strict=True):
        mine.copy_(theirs)


def _words(told: dict[str, float]) -> str:
    """What a bar shows of a line of the log."""
    words = [f"loss={told['loss']:.4f}", f"images={told['images_per_second']:.0f}/s"]
    words += [f"skipped={told['skipped']}"] if "skipped" in told else []
    if told.get("waited", 0) > STARVED * told["seconds"]:
        words += [f"waits for images {told['waited'] / told['seconds']:.0%} of the time: more --workers"]
    return ", ".join(words)


def _picture(path: Path, R: FastRestorer, checks: Batches, device: torch.device) -> None:
    """The same held-out images clean, degraded at t = 1, restored in one call and in ten."""
    batch, degradation = next(checks.one_pass(device, 8)), checks.degradation
    x = degradation(batch.x0, 1.0, batch.params)
    ask: Restorer = R if batch.condition is None else R.bind(batch.condition)
    seen = [] if batch.condition is None else [("beside", batch.condition)]
    rows = [("clean", batch.x0), *seen, ("degraded", x)]
    for name, steps in (("one_shot", 1), (suited_sampler(degradation), 10)):
        times = time_grid(min(steps, degradation.levels or steps), levels=degradation.level_times())
        drawn = [generator_for(checks.seed, "picture", i) for i in range(len(x))]
        *_, last = restore(ask, degradation, x, times, sampler=named_sampler(name), generator=drawn)
        rows.append((name, last.x))
    viz.save(viz.labelled_rows(rows), path)


# --- where a training stands -----------------------------------------------------------------------------------------


def _run_config(
    config: TrainConfig, spec: RestorerConfig | None, data: ImageData | StreamedData, steps: int
) -> dict[str, Any]:
    return {
        "restorer": None if spec is None else spec.to_config(),
        "degradation": config.degradation.to_config(),
        "image": {"channels": data.shape[0], "size": list(data.shape[1:])},
        "data": data.protocol,
        "training": config.to_config() | {"total_steps": steps},
    }


def _trial(
    net: nn.Module, batches: Batches, config: TrainConfig, precision: str, device: torch.device
) -> Callable[[int], None]:
    """A training step on a copy of the network, for timing."""
    trial = copy.deepcopy(net)
    optimizer = adam(trial, 0.0)

    def step(k: int) -> None:
        for micro in range(config.accumulate):
            batch = batches.at((k * config.accumulate + micro) * config.batch_size, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = restoration_loss(trial, config.degradation, batch, config)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        _average(trial, net, 1.0)
        float(loss.detach())  # waits for the device

    return step
