"""The commands: their arguments, and what runs them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from jsonargparse import ArgumentParser

from . import app, commands, demo, doctor, experiments, listing, plotting
from .interop import huggingface
from .interop.export import export_run
from .models.tiling import TILE
from .options import SWITCH, Command, device_and_seed, image_size, speed, trust
from .plot_arguments import PLOTS
from .training.config import Size, TrainConfig
from .utils.config import Configurable, field_types
from .utils.text import argument_texts


def _list_arguments(p: ArgumentParser) -> None:
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")


def _degrade_arguments(p: ArgumentParser) -> None:
    p.add_argument("image", type=str, help="a picture")
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--out", type=str, default="strip.png", help="strip; an animation if it ends in .gif")
    p.add_argument("--steps", type=int, default=8, help="pictures from t = 0 to t = 1")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    device_and_seed(p)


def _train_arguments(p: ArgumentParser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--config", action="config", help="a YAML file with any of these settings")
    p.add_argument("--preset", type=str, default=None, help="begin with an experiment of the paper: `colddiff presets`")
    texts = argument_texts(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        if field.name == "data":
            continue
        default = None if field.default is dataclasses.MISSING else field.default
        annotation = field_types(TrainConfig)[field.name]
        names = dict.fromkeys([f"--{field.name.replace('_', '-')}", f"--{field.name}"])
        if annotation is bool:
            p.add_argument(*names, action=SWITCH, default=default, help=texts[field.name])
        else:
            p.add_argument(*names, type=_plain(annotation), default=default, help=texts[field.name])
    p.add_argument("--resume", action=SWITCH, default=False, help="go on from the last checkpoint")


def _restore_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("images", type=str, nargs="+", help="pictures or folders of pictures")
    p.add_argument("--out", type=str, required=True, help="folder for the restored pictures")
    p.add_argument(
        "--start", type=float | None, default=None,
        help="how damaged the pictures are, in (0, 1]; if left out, as the run tells of each, or 1 where it cannot",
    )  # fmt: skip
    p.add_argument(
        "--sampler", type=str, default=None, help="see `colddiff list`; what suits the run beside --steps alone"
    )
    p.add_argument(
        "--steps", type=int | None, default=None,
        help="restorer calls; beside --sampler alone 20, or as many as there are levels",
    )  # fmt: skip
    p.add_argument(
        "--goal", type=typing.Literal["distortion", "perception"], default="distortion",
        help="close to the truth, or real in looks: what `colddiff eval` recommends for it is taken where --sampler "
        "and --steps are both left out",
    )  # fmt: skip
    p.add_argument(
        "--consistent", action=SWITCH, default=False,
        help="keep what the picture tells for certain: known pixels, block means, grey, frequencies that are left",
    )  # fmt: skip
    p.add_argument("--mask", type=str, default=None, help="picture that is white where something is missing")
    p.add_argument(
        "--reference", type=str, default=None, help="the clean picture, or a folder of them by name: measure"
    )
    p.add_argument("--degrade", action=SWITCH, default=False, help="the pictures are clean: damage them first")
    p.add_argument("--beside", action=SWITCH, default=False, help="damaged and restored side by side in one picture")
    p.add_argument("--overwrite", action=SWITCH, default=False, help="replace pictures that are in the way in --out")
    p.add_argument(
        "--framed", action=SWITCH, default=False, help="resize and crop as the pictures of the training were"
    )
    image_size(p, "side to which pictures are resized and cropped; their own size if left out")
    p.add_argument(
        "--tile", type=int, default=TILE, help="pixels per side that the network sees at once; bounds memory"
    )
    speed(p)
    device_and_seed(p)
    trust(p)


def _sample_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("-n", "--number", type=int, default=16, help="how many images")
    p.add_argument("--out", type=str, default="grid.png", help="picture of all of them")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument("--steps", type=int, default=50, help="restorer calls")
    speed(p)
    device_and_seed(p)
    trust(p)


def _eval_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--split", type=str, default="test", help="of the data: test, train or all")
    p.add_argument(
        "--damaged", type=str, default=None, help="the same pictures damaged, for a run that was trained on pairs"
    )
    # torchrun takes --start for its own --start-method, wherever it stands.
    p.add_argument("--start", "--starts", type=str, default=".25,.5,.75,1", help="start severities in (0, 1]")
    p.add_argument("--steps", type=str, default="2,5,10,20", help="numbers of steps")
    p.add_argument("--images", type=str, default="500", help="how many, from the first; `all` for all")
    p.add_argument(
        "--input",
        type=typing.Literal["8bit", "float32", "chain"],
        default="8bit",
        help="what is restored: pictures of 8 bits, float32, or float32 as the paper's chain of steps makes it",
    )
    p.add_argument(
        "--perception", type=typing.Literal["auto", "none", "classifier", "inception", "lpips"], default="auto",
        help="what tells how real pictures look: FID and KID by features of a small classifier, which is trained on "
        "the training data once and kept with the run, or of Inception; or LPIPS",
    )  # fmt: skip
    p.add_argument("--generate", type=int, default=0, help="how many images to generate and compare with training ones")
    p.add_argument("--training", type=str, default=None, help="the training data, if they are not DATA")
    p.add_argument("--json", type=str, default=None, help="write the report there as JSON")
    p.add_argument(
        "--out", type=str, default=None,
        help="folder of report.md, .json, .png and the plot worth.png; RUN/report, or ./report for digits, if left out",
    )  # fmt: skip
    p.add_argument(
        "--store", type=typing.Literal["auto", "always", "never"], default="auto",
        help="make it what restores of the run take by themselves: auto, where 32 images or more of 8 bits were "
        "measured that its training held out, beside what is there from more images or other starts; always, in place "
        "of all that is there",
    )  # fmt: skip
    p.add_argument("--batch-size", "--batch_size", type=int, default=128, help="images at a time")
    speed(p)
    device_and_seed(p)
    trust(p)


def _inspect_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    trust(p)


def _doctor_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str | None, nargs="?", default=None, help="a run to look at too, finished or not")
    p.add_argument("--data", type=str, default=None, help="images to compute with: those that the run was trained on")
    p.add_argument("--compile", action=SWITCH, default=False, help="try torch.compile too: takes up to minutes")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")
    trust(p)


def _reproduce_arguments(p: ArgumentParser) -> None:
    p.add_argument("table", type=str, help="deblur, inpaint, superres or generation")
    p.add_argument("data", type=str, help="the data set, for example a folder of parquet files of MNIST")
    p.add_argument("--out", type=str, default="reproduced", help="folder of the runs, the table and its pictures")
    p.add_argument("--budget", type=float, default=10.0, help="minutes of training, per run that is missing")
    p.add_argument(
        "--row", type=str | None, default=None,
        help="whose published numbers stand beside: mnist, cifar10, celeba, afhq; told by the colours if left out",
    )  # fmt: skip
    p.add_argument("--images", type=int | None, default=None, help="of the test split, or to generate; all, or 1,000")
    p.add_argument("--size", type=Size, default="5M", help="of the network, in parameters")
    p.add_argument(
        "--features", type=typing.Literal["auto", "inception", "judges"], default="auto",
        help="what FID and KID see: Inception if it can be had, or three networks trained on the data",
    )  # fmt: skip
    device_and_seed(p)


def _compare_arguments(p: ArgumentParser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--out", type=str, default="compared", help="folder of the runs, the table and its pictures")
    p.add_argument("--task", type=typing.Literal["deblur", "generate"], default="deblur", help="what is compared")
    p.add_argument("--minutes", type=float, default=10.0, help="of training, per method and seed")
    p.add_argument("--seeds", type=int, default=3, help="how many")
    p.add_argument("--methods", type=str | None, default=None, help="names separated by commas; all if left out")
    p.add_argument("--steps", type=str | None, default=None, help="numbers of restorer calls; what suits the task")
    p.add_argument("--degradation", type=str | dict | None, default=None, help="what damages; a blur if left out")
    p.add_argument("--images", type=int, default=500, help="of the test split, or to generate")
    p.add_argument("--size", type=Size, default="5M", help="of the network, in parameters")
    image_size(p, "side to which pictures are resized and cropped; their own size if left out")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")


def _import_arguments(p: ArgumentParser) -> None:
    p.add_argument("file", type=str, help="a .pt file of the official code")
    p.add_argument("--preset", type=str, required=True, help="the experiment that it is of: `colddiff presets`")
    p.add_argument("--out", type=str, required=True, help="folder for the run")


def _push_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    p.add_argument("repo", type=str, help="owner/name on the Hugging Face hub; made if it is not there")
    p.add_argument("--private", action=SWITCH, default=False, help="for nobody else to see")
    p.add_argument("--revision", type=str | None, default=None, help="a branch; made if it is not there")
    p.add_argument("--message", type=str | None, default=None, help="of the commit")
    p.add_argument("--license", type=str | None, default=None, help="of the model, as the hub names it: cc-by-4.0")
    p.add_argument(
        "--prior", action=SWITCH, default=None,
        help="publish where generation starts; to be said where that is training images of your own",
    )  # fmt: skip
    trust(p)


def _export_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("out", type=str, help="folder of a pipeline of diffusers, or an .onnx file")
    p.add_argument(
        "--format", type=typing.Literal["auto", "diffusers", "onnx"], default="auto",
        help="auto is onnx for an OUT that ends in .onnx, else diffusers",
    )  # fmt: skip
    p.add_argument("--overwrite", action=SWITCH, default=False, help="put it among, or in place of, files of others")
    trust(p)


def _demo_arguments(p: ArgumentParser) -> None:
    p.add_argument("--out", type=str, default="demo", help="folder for the run and the pictures")
    p.add_argument("--minutes", type=float, default=1.0, help="of training")
    device_and_seed(p)


def _app_arguments(p: ArgumentParser) -> None:
    p.add_argument("runs", type=str, nargs="*", default=["digits"], help="what `colddiff train` wrote; digits if none")
    p.add_argument("--host", type=str, default=app.LOOPBACK, help="address to listen on; 0.0.0.0 for the whole network")
    p.add_argument("--port", type=int | None, default=None, help="the first free one from 7860 if left out")
    p.add_argument("--browser", action=SWITCH, default=False, help="open the page in the browser")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    trust(p)


COMMANDS = {
    "list": Command("operators, schedules, samplers and data sets", _list_arguments, listing.list_names),
    "presets": Command("the paper's experiments", _list_arguments, listing.list_presets),
    "degrade": Command(
        "a picture at rising severities, as a strip or animation", _degrade_arguments, plotting.degrade_picture
    ),
    "plot": Command("walks, differences, frequencies, schedules, perception against distortion", kinds=PLOTS),
    "train": Command("train a restorer", _train_arguments, commands.train_restorer, split=True),
    "restore": Command("restore damaged pictures with a run", _restore_arguments, commands.restore_pictures),
    "sample": Command("generate new images with a run", _sample_arguments, commands.sample_images, split=True),
    "eval": Command("measure a run on images", _eval_arguments, commands.evaluate_run, split=True),
    "inspect": Command("what a run is and how its training went", _inspect_arguments, commands.inspect_run),
    "doctor": Command(
        "what is wrong with a machine or a run: versions, threads, fast paths, training, a run's files",
        _doctor_arguments,
        doctor.diagnose,
    ),
    "reproduce": Command(
        "a table of the paper with ours beside it",
        _reproduce_arguments,
        experiments.reproduce_table,
    ),
    "compare": Command("methods, by calls and by seconds", _compare_arguments, experiments.compare_methods),
    "import-official": Command("weights of the paper's code as a run", _import_arguments, experiments.import_weights),
    "push": Command("publish a run on the Hugging Face hub", _push_arguments, huggingface.push_run),
    "app": Command("degrade, restore and generate in a browser, on this machine only", _app_arguments, app.serve),
    "export": Command("a run for other libraries: a pipeline of diffusers, or ONNX", _export_arguments, export_run),
    "demo": Command("train on digits for a minute, measure, and draw every stage", _demo_arguments, demo.run_demo),
}


def _plain(annotation: Any) -> Any:
    """The type that the parser knows: configurable values arrive as a name or a mapping, the rest as it is."""
    options = [a for a in typing.get_args(annotation) or (annotation,) if a is not type(None)]
    if isinstance(options[0], type) and issubclass(options[0], Configurable):
        return str | dict
    return options[0] if len(options) == 1 else annotation
