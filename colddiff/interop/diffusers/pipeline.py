"""Runs as pipelines of diffusers, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ...data.convert import to_batch
from ...degradations.base import Images, Params
from ...models.networks.diffusers_unet import TIMESTEPS
from ...models.run import STEPS, Run
from ...models.serialization import load, save
from ...models.tiling import TILE, check_memory, tiled
from ...samplers.generation import initial_state
from ...samplers.priors import Prior
from ...samplers.time_grid import steps_within
from ...samplers.unknown_params import default_sampler
from ...utils.files import read_json, whole_folder, write_text
from ...utils.rng import Generators
from ...utils.text import escape_markdown
from .base import DiffusionPipeline, FromAnybody, ImagePipelineOutput
from .components import ColdPrior as ColdPrior
from .components import ColdUNet as ColdUNet
from .scheduler import ColdScheduler as ColdScheduler
from .scheduler import to_centred, to_unit

INDEX = "model_index.json"
MADE_OF = {(part.__module__, part.__name__) for part in (ColdUNet, ColdScheduler, ColdPrior)}
NEW = 50  # steps of a generation
OF_HUB = ("cache_dir", "force_download", "local_files_only", "token", "revision")  # options that downloads know
OUTPUTS = ("pil", "np", "pt")
CARD = """---
library_name: diffusers
tags: [colddiff, cold-diffusion]
---

# {name}: restorer of `{kind}`

    pip install "colddiff[diffusers]"

    from colddiff.interop.diffusers import ColdPipeline

    pipeline = ColdPipeline.from_pretrained("{name}")
    restored = pipeline(damaged, num_inference_steps=20).images  # pictures, arrays or tensors
    new = pipeline(batch_size=4).images  # where it has a prior

`DiffusionPipeline.from_pretrained` knows the classes of diffusers only: it is `ColdPipeline` that reads this folder.
"""
Begun = tuple[Images, Params | None, Tensor | None, list[Any]]
UNKNOWN = {"data": {}, "training": {}, "precision": "fp32", "step": 0}  # of a network that no run of ours was


class ColdPipeline(FromAnybody, DiffusionPipeline):  # type: ignore[misc]
    """Restores damaged images, and generates new ones where it has a prior.

    Args:
        unet: a `ColdUNet`, or a model of diffusers that the scheduler's prediction_type fits.
        scheduler: a `ColdScheduler`.
        prior: where generation starts; None restores only.
    """

    model_cpu_offload_seq = "unet"
    _optional_components = ["prior"]

    def __init__(self, unet: Any, scheduler: Any, prior: ColdPrior | Prior | dict[str, Any] | None = None) -> None:
        super().__init__()
        if prior is not None and not isinstance(prior, ColdPrior):
            prior = ColdPrior(prior)
        self.register_modules(unet=unet, scheduler=scheduler, prior=prior)

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """A run's parts, copied; the sampler is what suits the degradation.

        Raises:
            ValueError: a run whose network cannot be a model of diffusers, see `ColdUNet.from_run`.
        """
        scheduler = ColdScheduler(run.degradation, sampler=default_sampler(run.degradation))
        return cls(ColdUNet.from_run(run), scheduler, run.prior)

    @torch.no_grad()
    def __call__(
        self, image: Any = None, num_inference_steps: int | None = None, start: float = 1.0, mask: Any = None,
        generator: Generators = None, batch_size: int = 1, output_type: str = "pil", return_dict: bool = True,
    ) -> Any:  # fmt: skip
        """Clean images from damaged ones, or new images where none are given.

        Args:
            image: a Pillow picture, a path, an array (N, H, W, C), a tensor (B, C, H, W) in [0, 1], or a list of them,
                all of one size.
            num_inference_steps: calls of the model; 20 to restore and 50 to generate if left out, or as many as the
                degradation has levels.
            start: how damaged the images are, in (0, 1].
            mask: white (true) where they are missing something, for degradations with missing pixels.
            generator: for what has to be drawn: a CPU generator, or one per image, for images that do not depend on
                those beside.
            batch_size: how many new images.
            output_type: "pil" pictures, "np" (N, H, W, C) or "pt" (N, C, H, W), both in [0, 1].
            return_dict: an `ImagePipelineOutput`, or else (images,).

        Raises:
            ValueError, TypeError: images, a mask or generators that do not fit; no prior to generate from.
        """
        self._check(output_type)
        scheduler, new = self.scheduler, image is None
        x, params, hole, generators = self._begun(image, mask, generator, batch_size)
        start, steps = 1.0 if new else start, num_inference_steps
        if steps is None:
            steps = steps_within(NEW if new else STEPS, start, scheduler.degradation.level_times())
        scheduler.set_timesteps(steps, x.device, start=start, params=params, mask=hole)
        # In float64 a sample carries float32 images in [0, 1] from step to step to the last bit.
        sample = to_centred(x, torch.float32 if x.device.type == "mps" else torch.float64)
        model = tiled(self._answer, TILE)
        for timestep in self.progress_bar(scheduler.timesteps):
            output = model(sample, timestep.expand(len(sample)))
            sample = scheduler.step(output, timestep, sample, generator=generators, return_dict=False)[0]
        self.maybe_free_model_hooks()
        made: Any = to_unit(sample).clamp(0, 1)
        if output_type != "pt":
            made = made.movedim(1, -1).cpu().numpy()
        if output_type == "pil":
            made = self.numpy_to_pil(made)
        return ImagePipelineOutput(images=made) if return_dict else (made,)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        """What a folder says it is made of, if those are parts of colddiff and of diffusers.

        Raises:
            ValueError: anything else, which would have to be imported.
        """
        index = super()._dict_from_json_file(json_file)
        for name, part in index.items():
            foreign = isinstance(part, list) and part[0] not in (None, "diffusers") and tuple(part) not in MADE_OF
            if foreign or (name == "_class_name" and not isinstance(part, str)):
                raise ValueError(
                    f"{str(json_file)!r} names {str(part)[:200]} as its {name.strip('_')}, and nothing is imported "
                    "because a file says so: build the pipeline by hand, ColdPipeline(unet, scheduler, prior)"
                )
        return index

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, trust_plugins: bool = False, **options: Any) -> Self:
        """The pipeline in a folder, or of the hub, which anybody may have written: nothing in it is executed.

        Args:
            folder: what `to_diffusers` or `save_pretrained` wrote, or owner/name of the hub.
            trust_plugins: import installed plug-ins that its configs name.
            options: those of diffusers; weights are safetensors, whatever they say.

        Raises:
            ValueError: parts that are neither ours nor diffusers', or do not fit each other. OSError: no such folder.
        """
        return super().from_pretrained(folder, trust_plugins=trust_plugins, **options | {"use_safetensors": True})

    @classmethod
    def download(cls, name: str, **options: Any) -> str:
        """The folder of a pipeline of the hub, as diffusers itself downloads none with parts of other packages.

        Configs and safetensors are all that comes.
        """
        from huggingface_hub import snapshot_download

        asked = {key: options[key] for key in OF_HUB if options.get(key) is not None}
        folder: str = snapshot_download(name, allow_patterns=["*.json", "*.safetensors"], **asked)
        return folder

    def _check(self, output_type: str) -> None:
        """Raise unless its parts fit each other, and there are images of such a type."""
        if not isinstance(self.scheduler, ColdScheduler):
            raise TypeError(f"a ColdPipeline walks with a ColdScheduler, got {type(self.scheduler).__name__}")
        if output_type not in OUTPUTS:
            raise ValueError(f"output_type must be one of {', '.join(OUTPUTS)}, got {output_type!r}")
        if isinstance(self.unet, ColdUNet) and len(self.scheduler) != TIMESTEPS:
            raise ValueError(f"a ColdUNet knows {TIMESTEPS} train timesteps, the scheduler has {len(self.scheduler)}")

    def _begun(self, image: Any, mask: Any, generator: Generators, batch_size: int) -> Begun:
        """The images that a walk begins with, whatever is known of their params, and generators, one for each."""
        own, device = self._as_run(), self._execution_device
        if image is not None:
            x = read_images(image, own).to(device)
            check_memory(x)
            hole = None if mask is None else to_batch(mask, replace(own.framing, colour="grey").read)[0] > 0.5
            return x, None, hole, one_each(generator, len(x))
        if self.prior is None:
            raise ValueError("this pipeline has no prior to start from: give it damaged images to restore")
        generators = one_each(generator, batch_size)
        D, x = initial_state(self.scheduler.degradation, self.prior.prior, own.shape, generators, device)
        return x, D.params, None, generators

    def _answer(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """What the model says, in the dtype of the sample."""
        asked = sample if isinstance(self.unet, ColdUNet) else sample.to(self.unet.dtype)
        answer: Tensor = self.unet(asked, timestep, return_dict=False)[0]
        return answer.to(sample.dtype)

    def _as_run(self) -> Run:
        """Its parts as a run, which knows how pictures are read."""
        model, op = self.unet.config, self.scheduler.degradation
        size = model.sample_size
        if size is None:
            raise ValueError("the model's config has no sample_size: say which size of images it was trained on")
        sides = [size, size] if isinstance(size, int) else [*size]
        config = UNKNOWN | (model.get("run") or {})
        wrong = [key for key, value in UNKNOWN.items() if not isinstance(config[key], type(value))]
        if wrong:
            raise ValueError(f"the model's config tells of a run whose {wrong[0]} is not as `colddiff export` wrote it")
        config |= {"restorer": model.get("restorer"), "degradation": op.to_config()}
        config |= {"image": {"channels": model.in_channels, "size": sides}}
        prior = None if self.prior is None else self.prior.prior
        net = self.unet.net if isinstance(self.unet, ColdUNet) else self.unet
        return Run(net, op, prior, config, Path(str(self.name_or_path)))


def to_diffusers(run: Run, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a run as a pipeline of diffusers, whole or not at all: `ColdPipeline.from_pretrained(folder)` reads it.

    What reports need beside (the classical restorer's statistics, a recommended setting) stays with the run.

    Args:
        run: with one of our networks.
        folder: made if it is not there; an earlier export is written anew.
        overwrite: put it among the files of others.

    Raises:
        ValueError: a run that cannot be a pipeline, or others' files in the way. OSError: it cannot be written.
    """
    folder, pipeline = Path(folder), ColdPipeline.from_run(run)
    needed = 2 * sum(p.numel() * p.element_size() for p in pipeline.unet.parameters())
    with whole_folder(folder, INDEX, _is_export, needed=needed, overwrite=overwrite) as part:
        pipeline.save_pretrained(part)
        write_text(
            part / "README.md", CARD.format(name=escape_markdown(folder.name), kind=run.degradation.registered_name)
        )
    return folder


def from_diffusers(folder: str | Path, out: str | Path, *, device: str = "auto", trust_plugins: bool = False) -> Run:
    """The run of which a folder was made, written to `out` in our own layout; restores and samples are the same.

    Args:
        folder: of a `ColdPipeline` with a `ColdUNet`: of `to_diffusers`, or trained with diffusers.
        out: a folder that holds no run.
        device: of the run, see `load`.
        trust_plugins: import installed plug-ins that its configs name.

    Raises:
        ValueError: another model of diffusers, or a run in the way; or what `ColdPipeline.from_pretrained` raises.
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise ValueError(f"{str(out)!r} holds a run already: give another folder")
    pipeline = ColdPipeline.from_pretrained(folder, trust_plugins=trust_plugins)
    if not isinstance(pipeline.unet, ColdUNet):
        raise ValueError(
            f"{str(folder)!r} holds a {type(pipeline.unet).__name__}, which only diffusers can build: wrap it in "
            "colddiff.DiffusersRestorer"
        )
    run = pipeline._as_run()
    save(out, run.net.state_dict(), run.config, run.prior)
    return load(out, device=device, trust_plugins=trust_plugins)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _is_export(folder: Path) -> bool:
    """Whether a folder holds a pipeline of ours."""
    index = folder / INDEX
    told = read_json(index) if index.is_file() else None
    return isinstance(told, dict) and told.get("_class_name") == ColdPipeline.__name__


def one_each(generator: Generators, count: int) -> list[Any]:
    """One generator per image; none is torch's own."""
    each = [*generator] if isinstance(generator, Sequence) else [generator] * count
    if count < 1 or len(each) != count:
        raise ValueError(f"expected at least one image, and a generator for each, got {count} and {len(each)}")
    if any(g is not None and g.device.type != "cpu" for g in each):
        raise ValueError("generators must be on the CPU, where all draws are made: torch.Generator().manual_seed(0)")
    return each


def read_images(image: Any, run: Run) -> Images:
    """Images of any kind as one batch (B, C, H, W) in [0, 1]."""
    given = image if isinstance(image, list | tuple) else [image]
    parts = [to_batch(one, run.framing.read)[0] for one in given]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) != 1 or next(iter(shapes))[0] != run.shape[0]:
        raise ValueError(f"expected images of {run.shape[0]} channels and of one size at a time, got {sorted(shapes)}")
    return torch.cat(parts)
