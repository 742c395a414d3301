"""One readable training loop: restore what a degradation did, at every severity."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
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
from .files import read_json
from .grids import time_grid
from .interruption import Interrupted, interruptible
from .objective import loss_on, restoration_loss, validation_loss
from .processes import pick_device
from .restoration import restore, suited_sampler
from .run import Run
from .runlog import Log, tensorboard_writer
from .samplers import Restorer, named_sampler
from .seeds import generator_for, seed_for
from .settings import FREE_TO_CHANGE, TrainConfig, images_for, prior_for, restorer_for
from .snapshots import load_snapshot, save_snapshot, snapshots
from .unet import RestorerConfig

GATE = 0.02  # largest share by which bf16 may raise the validation loss
FIRST_GATE = 100  # the step of a first look, for runs that end before the first validation
AGREE_EVERY = 2.0  # seconds after which several processes ask each other about signals, which waits for the device
SAME_DATA = ("images", "size", "channels", "framing", "left_out")  # of a protocol, for a run to go on
DEFAULT_MINUTES = 10.0


def train(
    config: TrainConfig, *, net: nn.Module | None = None, data: ImageData | None = None,
    held_out: ImageData | None = None, resume: bool = False, progress: bool = True,
) -> Run:  # fmt: skip
    """Train a restorer and leave a run in `config.out`.

    Args:
        config: what to train on what.
        net: a network of your own, called (x, t) -> x0_hat, instead of `config.restorer`.
        data: images in memory, as `from_images` makes them, instead of those that `config.data` then merely names.
        held_out: images that the training is checked on; a tenth of `data` if left out.
        resume: go on from the last checkpoint of `config.out`, with the same settings.
        progress: show a bar.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and the state saved.
    """
    # Validate, and find out where to start.
    run_dir = Path(config.out)
    start = _starting_point(run_dir, config, resume)
    if net is not None and (config.restorer is not None or config.predict != "x0"):
        raise ValueError("a network of your own is its own restorer and predicts x0: leave out restorer and predict")
    if config.tensorboard:
        tensorboard_writer()  # said before the work, if it is missing
    accelerator = _accelerator(config.device)
    device = accelerator.device
    main = accelerator.is_main_process

    # Data and network.
    data, held_out = images_for(config, data, held_out)
    if start is not None:
        _check_same_data(run_dir, data)
    prior = prior_for(config, data)
    baseline = baseline_for(config.degradation, data)
    torch.manual_seed(seed_for(config.seed, "weights"))
    spec = None if net is not None else restorer_for(config, data)
    net = (spec.build() if spec is not None else net).to(device, memory_format=torch.channels_last).train()  # type: ignore[union-attr,call-overload]
    fit: Any = getattr(net, "fit", None)
    if spec is not None and fit is not None:
        fit(data.images)
    ema = copy.deepcopy(net).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(
        net.parameters(), lr=config.lr, betas=(0.9, 0.99), fused=device.type in ("cpu", "cuda")
    )
    checks = Batches(
        held_out, config.degradation, config.batch_size, config.seed,
        noise=config.input_noise, condition=config.condition,
    )  # fmt: skip
    batches = replace(checks, data=data, flip=config.flip, shift=config.shift)
    precision = pick_precision(config.precision, device)

    # Budget, or what was left of it.
    step, seconds, threads, agree_every = 0, 0.0, torch.get_num_threads(), 1
    if start is not None:
        state = load_snapshot(start, net, ema, optimizer)
        step, steps, seconds, precision = state["step"], state["steps"], state["seconds"], state["precision"]
    else:
        steps = config.steps or 0
        if not steps:
            minutes = config.minutes or DEFAULT_MINUTES
            steps, threads = steps_in(minutes, _trial(net, batches, config, precision, device), device)
        steps = _agreed(steps, accelerator, min)
    fast = CompiledModel(net, loss_on(batches.at(0, device), config), precision) if config.compile else None
    model, optimizer = accelerator.prepare(fast or net, optimizer)
    saved_config = _run_config(config, spec, data, steps)
    log = Log(run_dir / "log.jsonl", after=step, tensorboard=config.tensorboard) if main else None

    def save() -> None:
        state = {"step": step, "steps": steps, "seconds": seconds, "precision": precision}
        bare = optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer
        save_snapshot(run_dir, net, ema, bare, state | {"training": config.to_config()})
        told = saved_config | {"precision": precision, "step": step}
        checkpoint.save(run_dir, ema.state_dict(), told, prior, baseline)

    bar = tqdm(total=steps, initial=step, desc=run_dir.name, unit="step", disable=None if progress and main else True)
    closing = contextlib.nullcontext() if log is None else contextlib.closing(log)
    with bar, closing, cpu_threads(threads), interruptible() as stopped:
        while step < steps:
            began = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, config)
            torch.manual_seed(seed_for(config.seed, "step", step, accelerator.process_index))
            loss = _step(model, optimizer, accelerator, batches, step, config, precision)
            _average(ema, net, min(config.ema_decay, (1 + step) / (10 + step)))
            step += 1
            signum = _agreed(stopped.signum or 0, accelerator, max) if step % agree_every == 0 else 0
            last = step == steps or signum != 0
            saved = step % config.checkpoint_every == 0 or last
            noted = step % config.log_every == 0 or saved  # no state is saved whose loss was not looked at
            if noted:
                loss = loss.cpu()  # waits for the device, so that the clock counts work and not its launching
            seconds += time.perf_counter() - began
            bar.update()
            if noted and not math.isfinite(loss):
                raise RuntimeError(f"the loss is {float(loss)} at step {step}: try a smaller lr than {config.lr:g}")
            if noted and log is not None:
                speed = config.batch_size * config.accumulate * accelerator.num_processes * step / seconds
                log.write(step=step, loss=float(loss), lr=group["lr"], images_per_second=speed, seconds=seconds)
                bar.set_postfix(loss=f"{float(loss):.4f}", images=f"{speed:.0f}/s")
            if step % config.validate_every == 0 or step in (FIRST_GATE, steps):
                value, drift = validation_loss(ema, checks, config, precision, device)
                if _agreed(int(not drift <= GATE), accelerator, max):
                    warnings.warn(f"bf16 raises the validation loss by {drift:.1%}: going on in float32", stacklevel=2)
                    precision = "fp32"
                if fast is not None and (step == FIRST_GATE or fast.precision != precision):
                    fast.check(precision)
                if log is not None:
                    log.write(step=step, validation_loss=value, bf16_drift=drift)
            if main and (step % config.sample_every == 0 or step == steps):
                _picture(run_dir / "samples" / f"step-{step:08d}.png", FastRestorer(ema, precision), checks, device)
            if main and saved:
                save()
            if accelerator.num_processes > 1 and step % config.log_every == 0:
                agree_every = _agreed(max(1, int(AGREE_EVERY * step / seconds)), accelerator, min)
            if signum and step < steps:
                accelerator.wait_for_everyone()  # torchrun ends the others when the first is gone
                raise Interrupted(step, signum)
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
        _check_same_data(Path(config.out), data)
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
    changed = _changed(now, told["training"])
    if changed:
        raise ValueError(
            f"{config.out!r} is a run of another training: {changed}; give what it was made with, or another folder"
        )
    return bool(told["step"] == told["training"]["total_steps"])


# --- one step --------------------------------------------------------------------------------------------------------


def _step(
    model: nn.Module, optimizer: Any, accelerator: Accelerator, batches: Batches,
    step: int, config: TrainConfig, precision: str,
) -> Tensor:  # fmt: skip
    """One optimizer step over `accumulate` batches of every process."""
    total = torch.zeros((), device=accelerator.device)
    for micro in range(config.accumulate):
        slot = (step * config.accumulate + micro) * accelerator.num_processes + accelerator.process_index
        batch = batches.at(slot * config.batch_size, accelerator.device)
        ready = micro == config.accumulate - 1
        with contextlib.nullcontext() if ready else accelerator.no_sync(model):
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = restoration_loss(model, config.degradation, batch, config) / config.accumulate
            accelerator.backward(loss)
        total += loss.detach()
    accelerator.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    optimizer.zero_grad()
    return total


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


def _starting_point(run_dir: Path, config: TrainConfig, resume: bool) -> Path | None:
    """The snapshot to go on from, or None for a new run."""
    found = snapshots(run_dir)
    if run_dir.exists() and not run_dir.is_dir():
        raise ValueError(f"{str(run_dir)!r} is a file: give a folder for the run")
    if not resume:
        if found or (run_dir / "config.json").exists():
            raise ValueError(f"{str(run_dir)!r} holds a run already: add --resume to go on, or give another --out")
        return None
    if not found:
        raise FileNotFoundError(f"{str(run_dir)!r} has no checkpoint to resume from: leave out --resume")
    saved = read_json(found[-1] / "state.json")["training"]
    now = config.to_config()
    changed = _changed(now, saved)
    if changed:
        raise ValueError(f"cannot resume with other settings: {changed}")
    return found[-1]


def _changed(now: dict[str, Any], saved: dict[str, Any]) -> str:
    """Which settings of a training are not what they were, in words; one that did not exist then had its default."""
    before = {name: saved.get(name, getattr(TrainConfig, name, None)) for name in now}
    names = [name for name in now if name not in FREE_TO_CHANGE and now[name] != before[name]]
    return ", ".join(f"{name} was {before[name]!r}, now {now[name]!r}" for name in names)


def _check_same_data(run_dir: Path, data: ImageData) -> None:
    """Raise where a run was begun on other images than it would go on with."""
    if not (run_dir / "config.json").exists():  # written after the first snapshot
        return
    saved, now = read_json(run_dir / "config.json")["data"], data.protocol
    changed = [k for k in SAME_DATA if saved.get(k) != now.get(k)]
    if changed:
        told = ", ".join(f"{k} was {saved.get(k)}, now {now.get(k)}" for k in changed)
        raise ValueError(
            f"cannot resume, the data are no longer those of {str(run_dir)!r}: {told}; bring them back to what they "
            "were, or train anew with another --out"
        )


def _run_config(config: TrainConfig, spec: RestorerConfig | None, data: ImageData, steps: int) -> dict[str, Any]:
    return {
        "restorer": None if spec is None else spec.to_config(),
        "degradation": config.degradation.to_config(),
        "image": {"channels": data.images.shape[1], "size": list(data.images.shape[2:])},
        "data": data.protocol,
        "training": config.to_config() | {"total_steps": steps},
    }


def _trial(
    net: nn.Module, batches: Batches, config: TrainConfig, precision: str, device: torch.device
) -> Callable[[int], None]:
    """A training step on a copy of the network, for timing."""
    trial = copy.deepcopy(net)
    optimizer = torch.optim.Adam(trial.parameters(), lr=0.0, fused=device.type in ("cpu", "cuda"))

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


def _accelerator(device: str) -> Accelerator:
    """An accelerate engine on that device, aware of torchrun's processes."""
    where = pick_device(device)
    if where.type == "cuda" and where.index is not None:
        torch.cuda.set_device(where)
    accelerator = Accelerator(cpu=where.type == "cpu")
    if accelerator.device.type != where.type:
        raise ValueError(f"cannot train on device {device!r}: accelerate offers {accelerator.device.type!r} here")
    # Under torchrun without a GPU a plain Accelerator silently gives every process a world of its own.
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise RuntimeError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, accelerate sees {accelerator.num_processes}"
        )
    return accelerator


def _agreed(value: int, accelerator: Accelerator, choose: Callable[[list[int]], int]) -> int:
    """One number for all processes, chosen from those that each has."""
    if accelerator.num_processes == 1:
        return value
    return choose(accelerator.gather(torch.tensor([value], device=accelerator.device)).tolist())
