"""Train a restorer."""

from __future__ import annotations

import typing
import warnings
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from ..command import SWITCH
from ..index import read

if TYPE_CHECKING:
    from ....training.config import TrainConfig

# Titles of `train --help` and the fields of TrainConfig below them; `data` is the command's positional argument.
GROUPS = {
    "data": (
        "split paired_data target_data image_size resize_mode colour background max_unreadable stream workers "
        "flip max_shift"
    ),
    "degradation": "degradation condition calibrate quantize_inputs input_noise prior estimate_time",
    "network": "unet_size restorer predict precision compile device",
    "objective": "loss rollout",
    "optimizer": "batch_size grad_accumulation lr warmup_steps cosine_decay grad_clip ema_decay seed",
    "schedule": "steps minutes validate_every sample_every log_every",
    "checkpoints": "out checkpoint_every keep_checkpoints tensorboard",
}
TYPES: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "name": str | dict, "numbers": tuple[float, ...],
}  # fmt: skip


def add_arguments(p: ArgumentParser) -> None:
    fields = read()["train"]
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--config", action="config", help="a YAML file with any of these settings")
    p.add_argument("--preset", type=str, default=None, help="begin with an experiment of the paper: `colddiff presets`")
    for title, names in GROUPS.items():
        group = p.add_argument_group(title)
        for name in names.split():
            _add_field(group, name, fields[name])
        if title == "checkpoints":
            group.add_argument("--resume", action=SWITCH, default=False, help="go on from the last checkpoint")


def _add_field(group: Any, name: str, field: dict[str, Any]) -> None:
    """A field of TrainConfig as an option, spelled with dashes or as it is."""
    options = dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"])
    default = tuple(field["default"]) if isinstance(field["default"], list) else field["default"]
    if "choices" in field:
        kind = typing.Literal[tuple(field["choices"])]  # type: ignore[valid-type]
        group.add_argument(*options, type=kind, default=default, help=field["help"])
    elif field["type"] == "bool":
        group.add_argument(*options, action=SWITCH, default=default, help=field["help"])
    else:
        group.add_argument(*options, type=TYPES[field["type"]], default=default, help=field["help"])


def run(config: TrainConfig, resume: bool) -> None:
    """Train, then measure on held-out images and write the model card."""
    from ....evaluation.report import evaluate, write_card
    from ....training.setup import held_out_for
    from ....training.train import train
    from ....utils.distributed import is_first

    trained = train(config, resume=resume)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="left out")  # the training has said so
        data = held_out_for(config, trained.framing)
    # 20 calls are what restores take where nothing is recommended: they are in the running.
    report = evaluate(trained, data, start_times=(0.5, 1.0), steps=(5, 20), num_images=128)
    if not is_first():
        return
    stored = write_card(trained, report)
    print(report.to_markdown())
    print(stored)
    print(f"run, model card and samples in {config.out}")
