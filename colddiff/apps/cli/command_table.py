"""The commands, by name."""

from __future__ import annotations

from .command import Command

PLOTS = {
    "trajectory": Command("a sampler's walk, as a sheet or animation", "plot_trajectory"),
    "difference": Command("where two pictures differ", "plot_difference"),
    "frequencies": Command("what a degradation does to each spatial frequency", "plot_frequencies"),
    "schedules": Command("severity and noise against time", "plot_schedules"),
    "calibration": Command("a metric against time, before and after time is made linear in it", "plot_calibration"),
    "tradeoff": Command("perception against distortion, from a report", "plot_tradeoff"),
}

COMMANDS = {
    "list": Command("operators, schedules, samplers and data sets", "list"),
    "presets": Command("the paper's experiments", "presets"),
    "degrade": Command("a picture at rising times, as a strip or animation", "degrade"),
    "plot": Command("walks, differences, frequencies, schedules, perception against distortion", kinds=PLOTS),
    "train": Command("train a restorer", "train", split=True),
    "restore": Command("restore damaged pictures with a run", "restore"),
    "sample": Command("generate new images with a run", "sample", split=True),
    "eval": Command("measure a run on images", "evaluate", split=True),
    "inspect": Command("what a run is and how its training went", "inspect"),
    "doctor": Command(
        "what is wrong with a machine or a run: versions, threads, fast paths, training, a run's files", "doctor"
    ),
    "reproduce": Command("a table of the paper with ours beside it", "reproduce"),
    "compare": Command("methods, by calls and by seconds", "compare"),
    "import-official": Command("weights of the paper's code as a run", "import_official"),
    "push": Command("publish a run on the Hugging Face hub", "push"),
    "app": Command("degrade, restore and generate in a browser, on this machine only", "app"),
    "export": Command("a run for other libraries: a pipeline of diffusers, or ONNX", "export"),
    "demo": Command("train on digits for a minute, measure, and draw every stage", "demo"),
}
