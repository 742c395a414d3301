"""The steps of a training: one readable loop, and what is done between them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import viz
from ..models.precision import CheckedRestorer, CompiledModel
from ..samplers.base import Restorer
from ..samplers.sample import named_sampler
from ..samplers.time_grid import time_grid
from ..samplers.unknown_params import default_sampler, restore
from ..utils.distributed import AGREE_EVERY, all_reduce, is_first, rank_and_world, warn_main
from ..utils.progress import Progress
from ..utils.rng import generator_for, seed_for
from ..utils.signals import Interrupted, Stopped
from .batches import Batches
from .checkpoints import last_good, load_snapshot, save_snapshot, saving
from .config import TrainConfig
from .log import Log
from .loss import restoration_loss, validation_loss
from .nan_guard import NonFiniteGuard
from .prefetch import PrefetchLoader
from .resume import TrainState

GATE = 0.02  # largest share by which bf16 may raise the validation loss
FIRST_GATE = 100  # the step of a first look, for runs that end before the first validation
MOST_SKIPPED = 10  # steps in a row without a finite loss, before the last checkpoint is put back
STARVED = 0.1  # share of the time in which steps wait for images, from which the bar says so


@dataclass
class Loop:
    """A training from where it stands to its end, or to a signal.

    Args:
        config: its settings.
        now: where it stands.
        accelerator: of this process.
        net, ema: the network, and its averaged weights.
        model: the network as several processes, or torch.compile, wrap it.
        optimizer: as the accelerator wraps it; `bare` is what it wraps.
        feed: the batches that come.
        checks: held-out images.
        guard: leaves steps out.
        log: where there is one; in the first process.
        bar: that moves.
        fast: the compiled network, if it is.
        beside: what a checkpoint says beside its tensors and `now`.
        publish: writes what a run is, beside its checkpoints.
        streamed: whether images are read as they come.
    """

    config: TrainConfig
    now: TrainState
    accelerator: Accelerator
    net: nn.Module
    ema: nn.Module
    model: nn.Module
    optimizer: Any
    bare: torch.optim.Optimizer
    feed: PrefetchLoader
    checks: Batches
    guard: NonFiniteGuard
    log: Log | None
    bar: Progress[Any]
    fast: CompiledModel | None
    beside: dict[str, Any]
    publish: Callable[[], None]
    streamed: bool
    ask_every: int = 1  # steps, of the others' signals

    @property
    def run_dir(self) -> Path:
        return Path(self.config.out)

    def run(self, stopped: Stopped) -> None:
        """All steps that are left.

        Raises:
            Interrupted: a signal came; the step was finished and the state saved.
        """
        now, config = self.now, self.config
        while now.step < now.steps:
            began = time.perf_counter()
            loss = self.step()
            signum = all_reduce(stopped.signum or 0, max) if now.step % self.ask_every == 0 else 0
            ends = now.step == now.steps
            noted = now.step % config.log_every == 0 or ends or signum != 0
            if noted:
                loss = loss.cpu()  # waits for the device, so that the clock counts work and not its launching
            now.seconds += time.perf_counter() - began
            self.bar.update()
            if now.step % MOST_SKIPPED == 0 or ends:
                self.look_after_losses()
            if noted:
                self.note(float(loss))
            if now.step % config.validate_every == 0 or now.step == FIRST_GATE or ends:
                self.validate()
            if is_first():
                self.keep(signum != 0)
            if rank_and_world()[1] > 1 and now.step % config.log_every == 0:
                self.ask_every = all_reduce(max(1, int(AGREE_EVERY * now.step / now.seconds)), min)
            if signum:
                break
        signum = all_reduce(stopped.signum or 0, max)
        self.accelerator.wait_for_everyone()  # torchrun ends the others when the first is gone
        if signum:
            raise Interrupted(now.step, signum)

    def step(self) -> Tensor:
        """One optimizer step over `accumulate` batches, split over the processes; their mean loss."""
        now, config, device = self.now, self.config, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(now.step, now.steps, config)
        torch.manual_seed(seed_for(config.seed, "step", now.step, rank_and_world()[0]))  # of dropout
        total = torch.zeros((), device=device)
        for micro in range(config.grad_accumulation):
            batch = next(self.feed)
            ready = micro == config.grad_accumulation - 1
            with contextlib.nullcontext() if ready else self.accelerator.no_sync(self.model):
                with torch.autocast(device.type, torch.bfloat16, enabled=now.precision == "bf16"):
                    loss = restoration_loss(self.model, config.degradation, batch, config) / config.grad_accumulation
                self.accelerator.backward(loss)
            total += loss.detach()
        mean: Tensor = self.accelerator.reduce(total, "mean")
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        self.guard.step(self.optimizer, mean, norm)
        self.optimizer.zero_grad()
        average(self.ema, self.net, min(config.ema_decay, (1 + now.step) / (10 + now.step)))
        now.step += 1
        return mean

    def look_after_losses(self) -> None:
        """Put the last good weights back after too many steps without a finite loss, once.

        The training goes on from there with the images that come next. It looks at steps of its own, so that a
        signal or the log change nothing.

        Raises:
            RuntimeError: it went back before, or there is nothing to go back to.
        """
        now = self.now
        now.skipped, now.in_a_row = self.guard.counts()
        if now.in_a_row < min(MOST_SKIPPED, now.steps):
            return
        happened = f"the loss was not finite for {now.in_a_row} steps up to step {now.step}"
        found = None if now.went_back else last_good(self.run_dir, sound=True)
        if found is None:
            why = "as before it went back to a checkpoint" if now.went_back else "and there is no checkpoint before"
            lr = self.optimizer.param_groups[0]["lr"]
            raise RuntimeError(f"{happened}, {why}: try a smaller lr than {lr:g}, or precision fp32")
        step = load_snapshot(found, self.net, self.ema, self.bare)["step"]
        if all_reduce(step, min) != all_reduce(step, max):
            raise RuntimeError(f"{happened}, and the processes do not find the same checkpoint: go on with --resume")
        warn_main(f"{happened}: the weights of step {step} are put back, and the training goes on")
        now.in_a_row, now.went_back = 0, True
        self.guard.forget()

    def note(self, loss: float) -> None:
        """A line in the log, and on the bar."""
        now = self.now
        now.waited = self.feed.waited
        if self.log is None:
            return
        each = self.config.batch_size * self.config.grad_accumulation
        told = {"loss": loss, "lr": self.optimizer.param_groups[0]["lr"]}
        told |= {"images_per_second": each * now.step / now.seconds, "seconds": now.seconds}
        told |= ({"skipped": now.skipped} if now.skipped else {}) | ({"waited": now.waited} if self.streamed else {})
        with saving(self.run_dir):
            self.log.write(step=now.step, **told)
        skipped = f", {now.skipped} steps skipped" if now.skipped else ""
        self.bar.say(words(told), f"loss {loss:.4f}, {told['images_per_second']:,.0f} images/s{skipped}")

    def validate(self) -> None:
        """The loss on held-out images; bf16 and compiled networks are looked at on the way."""
        now = self.now
        value, drift = validation_loss(self.ema, self.checks, self.config, now.precision, self.accelerator.device)
        now.validation_loss = value if math.isfinite(value) else None
        if all_reduce(int(not drift <= GATE), max):
            warn_main(f"bf16 raises the validation loss by {drift:.1%}: going on in float32")
            now.precision = "fp32"
        if self.fast is not None and (now.step == FIRST_GATE or self.fast.precision != now.precision):
            self.fast.check(now.precision)
        if self.log is not None:
            with saving(self.run_dir):
                self.log.write(step=now.step, validation_loss=value, bf16_drift=drift)

    def keep(self, stops: bool) -> None:
        """Pictures and checkpoints, where it is their turn; none of those while losses are not finite."""
        now, config = self.now, self.config
        ends = now.step == now.steps
        with saving(self.run_dir):
            if now.step % config.sample_every == 0 or ends:
                picture = self.run_dir / "samples" / f"step-{now.step:08d}.png"
                draw(picture, CheckedRestorer(self.ema, now.precision), self.checks, self.accelerator.device)
            if not (now.step % config.checkpoint_every == 0 or ends or stops):
                return
            now.skipped, now.in_a_row = self.guard.counts()
            if now.in_a_row and not (ends or stops):
                return
            assert self.log is not None
            self.log.sync()
            state = asdict(now) | self.beside
            save_snapshot(self.run_dir, self.net, self.ema, self.bare, state, keep=config.keep_checkpoints)
            self.publish()

    def close(self) -> None:
        """Read no further, and end bar and log."""
        self.feed.close()
        self.bar.close()
        if self.log is not None:
            self.log.close()


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth, or none."""
    warmup = min(config.warmup_steps, max(steps // 10, 1))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if not config.cosine_decay:
        return config.lr
    share = (step - warmup) / max(steps - warmup, 1)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


@torch.no_grad()
def average(ema: nn.Module, net: nn.Module, decay: float) -> None:
    """ema = decay ema + (1 - decay) net, over parameters; buffers (running means, tables) are taken as they are."""
    torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
    for mine, theirs in zip(ema.buffers(), net.buffers(), strict=True):
        mine.copy_(theirs)


def words(told: dict[str, float]) -> str:
    """What a bar shows of a line of the log."""
    shown = [f"loss={told['loss']:.4f}", f"images={told['images_per_second']:.0f}/s"]
    shown += [f"skipped={told['skipped']}"] if "skipped" in told else []
    if told.get("waited", 0) > STARVED * told["seconds"]:
        shown += [f"waits for images {told['waited'] / told['seconds']:.0%} of the time: more --workers"]
    return ", ".join(shown)


def draw(path: Path, R: CheckedRestorer, checks: Batches, device: torch.device) -> None:
    """The same held-out images clean, degraded at t = 1, restored in one call and in ten."""
    batch, degradation = next(checks.one_pass(device, 8)), checks.degradation
    x = degradation(batch.x0, 1.0, batch.params)
    ask: Restorer = R if batch.condition is None else R.bind(batch.condition)
    seen = [] if batch.condition is None else [("beside", batch.condition)]
    rows = [("clean", batch.x0), *seen, ("degraded", x)]
    for name, steps in (("one_shot", 1), (default_sampler(degradation), 10)):
        times = time_grid(min(steps, degradation.levels or steps), levels=degradation.level_times())
        drawn = [generator_for(checks.seed, "picture", i) for i in range(len(x))]
        *_, last = restore(ask, degradation, x, times, sampler=named_sampler(name), generator=drawn)
        rows.append((name, last.x))
    viz.save(viz.labelled_rows(rows), path)
