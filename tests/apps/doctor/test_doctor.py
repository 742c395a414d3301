"""The doctor finds what is broken, says what to do about it, and is not broken by it."""

import hashlib
import json
import math
import shutil
from collections import namedtuple
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image
from safetensors.torch import load_file, save_file
from support import tiny

from colddiff.apps.cli import main
from colddiff.apps.doctor import examine as doctor
from colddiff.apps.doctor import finding, machine_checks, numeric_checks, overfit, run_checks
from colddiff.apps.doctor.finding import Finding, found
from colddiff.apps.doctor.probe_batch import case_of
from colddiff.degradations import Degradation, GaussianBlur
from colddiff.models import precision
from colddiff.models.serialization import load
from colddiff.training.checkpoints import SUMS
from colddiff.training.train import train
from colddiff.utils.config import register


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training of a moment, with its checkpoints and its log."""
    config = tiny.config(tmp_path_factory.mktemp("doctor") / "run", steps=4, checkpoint_every=2)
    return train(config, progress=False).path


@pytest.fixture(scope="module")
def digits():
    return case_of(load("digits", device="cpu"))


@pytest.fixture
def copied(folder, tmp_path):
    """The same, to be broken."""
    return Path(shutil.copytree(folder, tmp_path / "run"))


def by_name(findings):
    return {one.name: one for one in findings}


def colddiff(*arguments):
    """The exit code of a command."""
    try:
        return main.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code


# --- findings --------------------------------------------------------------------------------------------------------


def test_a_look_that_raises_is_a_problem_in_one_line_and_keeps_what_it_found_before():
    def look():
        yield Finding("first", "ok", "there")
        raise RuntimeError("the card is gone\nat 0x00")

    first, last = found("look", look)
    assert first.verdict == "ok"
    assert (last.name, last.verdict, last.measured) == ("look", "problem", "RuntimeError: the card is gone")


def test_what_a_look_warns_of_is_a_finding_and_ctrl_c_is_none():
    def warned():
        finding.warnings.warn("going on in float32", stacklevel=1)
        finding.warnings.warn("old", DeprecationWarning, stacklevel=1)
        return []

    assert found("look", warned) == [Finding("look", "warning", "going on in float32")]

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found("look", stopped)


# --- the machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "processes", "cores", "verdict", "cure"),
    [(2, 1, 2, "ok", ""), (8, 1, 2, "warning", "OMP_NUM_THREADS=2:"), (2, 4, 4, "warning", "OMP_NUM_THREADS=1:")],
)
def test_more_threads_than_cores_are_told_with_the_cure(count, processes, cores, verdict, cure):
    one = machine_checks.fitting(count, processes, cores)
    assert one.verdict == verdict and one.cure.startswith(cure) and bool(one.cure) == bool(cure)


def test_threads_that_wait_for_each_other_are_told():
    assert machine_checks.worth_it(1.0, 1.9).verdict == "ok"
    slow = machine_checks.worth_it(3.0, 1.0)
    assert slow.verdict == "warning" and "3000.00 ms" in slow.measured and "OMP_NUM_THREADS=1" in slow.cure


def test_the_threads_of_torchrun_and_of_the_environment_are_counted(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4096")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    told = by_name(machine_checks.threads())
    assert "OMP_WAIT_POLICY=passive" in told["environment"].measured
    assert "LOCAL_WORLD_SIZE=4096" in told["torchrun"].measured
    assert told["threads"].verdict == "warning"


def test_two_openmp_runtimes_are_a_warning(monkeypatch):
    pools = pytest.importorskip("threadpoolctl")
    one = {"user_api": "openmp", "prefix": "libgomp", "filepath": "/a/libgomp.so"}
    other = {"user_api": "openmp", "prefix": "libiomp5", "filepath": "/b/libiomp5.so"}
    blas = {"user_api": "blas", "prefix": "libopenblas", "filepath": "/c"}
    for loaded, verdict in (([one, blas], "ok"), ([one, other], "warning")):
        monkeypatch.setattr(pools, "threadpool_info", lambda loaded=loaded: loaded)
        (told,) = machine_checks.runtimes()
        assert told.verdict == verdict and "/a/libgomp.so" in told.measured and "/c" not in told.measured


def test_a_control_group_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_checks, "GROUP", tmp_path)
    free = machine_checks.usable_cores()
    for text, cores in (("max 100000", free), ("100000 100000", 1)):
        (tmp_path / "cpu.max").write_text(text)
        assert machine_checks.usable_cores() == cores


def test_versions_come_from_the_metadata_of_the_package_and_are_held_to_it(monkeypatch, tmp_path):
    lines = ["torch>=2", "numpy<1", 'no-such-thing>=1; extra == "odd"', 'numpy; extra == "even"']
    monkeypatch.setattr(machine_checks, "requires", lambda name: lines)
    told = by_name(machine_checks.versions(tmp_path))
    assert told["needed"].verdict == "problem" and "which is not <1" in told["needed"].measured
    assert told["extra odd"] == Finding(
        "extra odd", "skipped", "no-such-thing is not installed", 'pip install --upgrade "colddiff[odd]"'
    )
    assert told["extra even"].verdict == "ok"
    monkeypatch.setattr(machine_checks, "requires", lambda name: ["no-such-thing"])
    assert by_name(machine_checks.versions(tmp_path))["needed"].verdict == "problem"


def test_a_requirement_of_another_system_is_not_asked_for():
    other = Requirement('no-such-thing; sys_platform == "none"')
    assert machine_checks._asked_for([other], "") == [] and machine_checks._asked_for([other], "odd") == []


def test_little_memory_and_a_full_disk_are_warnings(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine_checks, "free_memory", lambda: 2**29)
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda folder: usage(2, 1, 2**20))
    told = by_name(machine_checks.versions(tmp_path))
    assert told["memory"].verdict == told["disk"].verdict == "warning"
    assert "0.5 GiB free" in told["memory"].measured and told["disk"].cure


def test_the_devices_and_what_auto_means_are_told():
    told = by_name([*machine_checks.devices(), *machine_checks.precision(torch.device("cpu"))])
    assert told["auto"].measured in ("means fp32 on cpu", "means bf16 on cpu") and "cpu" in told
    assert "AMX" in told["bf16 on the CPU"].measured


# --- fast paths ------------------------------------------------------------------------------------------------------


def test_a_sound_machine_has_sound_fast_paths(digits):
    told = by_name(numeric_checks.network_paths(digits, compile=False))
    assert {"channels_last", "bf16 weights", "eager bf16", "bf16 training", "CUDA graphs"} <= told.keys()
    assert all(one.verdict in ("ok", "skipped") for one in told.values()), told
    assert "limit 2e-02" in told["bf16 weights"].measured and told["compiled"].cure == "add --compile"


@pytest.mark.parametrize(("factor", "said"), [(1.05, "5.0e-02 off"), (math.nan, "not finite")])
def test_a_fast_path_that_is_wrong_is_found(digits, monkeypatch, factor, said):
    monkeypatch.setattr(precision, "in_bfloat16", lambda net: lambda *given: factor * net(*given))
    told = by_name(numeric_checks.network_paths(digits, compile=False))
    assert told["bf16 weights"].verdict == "warning" and said in told["bf16 weights"].measured
    assert told["eager bf16"].verdict == "ok"


def test_a_compiler_that_is_wrong_is_found(digits, monkeypatch):
    class Wrong(torch.nn.Module):
        def __init__(self, net, **options):
            super().__init__()
            self.inner = net if isinstance(net, torch.nn.Module) else None
            self.call = net

        def forward(self, *given):
            return 1.1 * self.call(*given)

    monkeypatch.setattr(torch, "compile", Wrong)
    told = by_name(numeric_checks.network_paths(digits, compile=True))
    for name in ("compiled fp32", "compiled bf16", "compiled training"):
        assert told[name].verdict == "warning", name


def test_a_layout_that_changes_the_answer_is_a_problem(digits):
    class Moody(torch.nn.Conv2d):
        def forward(self, x, t):
            return x * (1.01 if self.weight.is_contiguous() else 1.0)

    net = Moody(1, 1, 3).to(memory_format=torch.channels_last)
    net.weight.data = torch.empty_strided((1, 2, 3, 3), (18, 1, 6, 2)).fill_(0)
    case = replace(digits, run=replace(digits.run, net=net))
    assert by_name(numeric_checks.network_paths(case, compile=False))["channels_last"].verdict == "problem"


def test_bf16_that_learns_otherwise_is_told(digits, monkeypatch):
    monkeypatch.setattr(numeric_checks, "validation_loss", lambda *given: (1.0, 0.05))
    told = by_name(numeric_checks.network_paths(digits, compile=False))["bf16 training"]
    assert told.verdict == "warning" and "+5.00%, limit +2%" in told.measured


def test_an_optimizer_that_steps_otherwise_is_found(digits, monkeypatch):
    assert [one.verdict for one in numeric_checks.optimizer_paths(digits)] == ["ok"]
    plain = numeric_checks.adam
    monkeypatch.setattr(numeric_checks, "adam", lambda net, lr, fused: plain(net, 0.9 * lr if fused else lr, fused))
    assert [one.verdict for one in numeric_checks.optimizer_paths(digits)] == ["problem"]


def test_operators_that_take_a_short_cut_to_elsewhere_are_named():
    assert {one.verdict for one in numeric_checks.operator_paths()} == {"ok"}

    @register("crooked")
    @dataclass(frozen=True, kw_only=True)
    class Crooked(GaussianBlur):
        levels = 4

        def degrade(self, x, s, params):
            return x + s * params["shift"] * (2 if x.dtype == torch.float32 else 1)

        def change(self, x, s, r, params):
            return super().change(x, s, r, params) + 1e-3

        def chain(self, x, k, params):
            return x

        def draw(self, like, generator=None):
            return {"shift": torch.rand(len(like), 1, 1, 1, generator=generator, dtype=torch.float64)}

        def draw_each(self, like, generators):
            return {"shift": super().draw_each(like, generators)["shift"].flip(0)}

    told = list(numeric_checks.operator_paths())
    assert len(told) == 4
    for one in told:
        assert one.verdict == "problem" and "off: crooked" in one.measured, one


# --- learning --------------------------------------------------------------------------------------------------------


def test_a_fresh_network_learns_a_batch_by_heart_and_nothing_random_is_touched(folder):
    case = case_of(load(folder, device="cpu"))
    state = torch.get_rng_state()
    (one,) = overfit.overfit(case)
    assert one.verdict == "ok" and "in 80 steps" in one.measured
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda loss: loss.detach() + 0 * loss, "loss, optimizer or degradation are wrong"),
        (lambda loss: loss * math.nan, "a smaller --lr"),
    ],
    ids=["learns nothing", "nan"],
)
def test_a_training_that_does_not_learn_is_a_problem(folder, monkeypatch, broken, said):
    plain = overfit.restoration_loss
    monkeypatch.setattr(overfit, "restoration_loss", lambda *given: broken(plain(*given)))
    (one,) = overfit.overfit(case_of(load(folder, device="cpu")))
    assert one.verdict == "problem" and said in one.cure


def test_a_course_of_losses_says_whether_something_was_learned():
    def verdict(last, steps=overfit.STEPS):
        return overfit.learned([1.0] * (steps - 3) + [last] * 3, 1.0, "").verdict

    assert (verdict(0.79), verdict(0.9), verdict(0.99), verdict(math.inf)) == ("ok", "warning", "problem", "problem")
    assert (verdict(0.79, steps=10), verdict(0.99, steps=10)) == ("ok", "warning")


# --- a run -----------------------------------------------------------------------------------------------------------


def test_a_sound_run_is_told_to_be_so(folder):
    run = load(folder, device="cpu")
    told = [*run_checks.weights(run), *run_checks.checkpoints(folder), *run_checks.log(folder)]
    assert [one.name for one in told] == ["weights", "averaged weights", "step-00000002", "step-00000004", "log"]
    assert {one.verdict for one in told} == {"ok"}, told
    assert "step 4" in told[-1].measured and "images/s" in told[-1].measured


def test_weights_that_are_no_numbers_are_named_and_their_answers_too(folder):
    run = load(folder, device="cpu")
    run.net.stem.weight.data[0] = math.nan
    told = by_name(run_checks.weights(run))
    assert told["weights"].verdict == "problem" and "stem.weight" in told["weights"].measured
    case = case_of(run)
    assert next(numeric_checks.network_paths(case, compile=False)).verdict == "problem"
    assert by_name(run_checks.restores(case))["restored"].verdict == "problem"


def test_averaged_weights_that_are_not_those_of_the_checkpoint_are_told(folder):
    run = load(folder, device="cpu")
    run.net.stem.weight.data[0] += 1e-3
    assert by_name(run_checks.weights(run))["averaged weights"].verdict == "problem"


def test_a_checkpoint_that_is_spoilt_or_torn_is_named_and_the_others_are_looked_at(copied):
    older, newer = (copied / "checkpoints" / f"step-0000000{k}" for k in (2, 4))
    tensors = load_file(newer / "optimizer.safetensors")
    tensors["0.exp_avg"].view(-1)[0] = math.nan
    save_file(tensors, newer / "optimizer.safetensors")
    files = sorted(file for file in newer.iterdir() if file.name != SUMS)
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (newer / SUMS).write_text("".join(lines))
    (older / "model.safetensors").write_bytes(b"torn")
    told = by_name(run_checks.checkpoints(copied))
    assert told[newer.name].verdict == "problem" and "0.exp_avg" in told[newer.name].measured
    assert told[older.name].verdict == "warning"
    assert told[older.name].measured == "model.safetensors is not as it was written"


@pytest.mark.parametrize(
    ("entry", "name", "verdict", "said"),
    [
        ('{"step": 9, "loss": NaN, "lr": 1}', "log", "problem", "loss at step 9"),
        ('{"step": 9, "lr": 1}', "log", "problem", "loss at step 9"),
        ('{"step": 9, "loss": 0.5, "lr": 1, "skipped": 3}', "skipped steps", "warning", "3"),
        ('{"step": 9, "loss": 0.5, "lr": 1, "skipped": 0}', "skipped steps", "ok", "0"),
        ('{"step": 9, "loss": 0.5, "lr": 1, "waited": 5, "seconds": 10}', "loader", "warning", "50%"),
        ('{"step": 9, "loss": 0.5, "lr": 1, "waited": 1, "seconds": 100}', "loader", "ok", "1%"),
        ('{"step": 9, "lr": 1, "skipped": 3}', "log", "ok", "all finite"),
        ('{"step": 9, "lo', "log", "ok", "loss 0.5000 -> 0.5000"),
        ('["odd", true]', "log", "ok", "all finite"),
    ],
)
def test_the_log_says_what_went_wrong(tmp_path, entry, name, verdict, said):
    (tmp_path / "log.jsonl").write_text('{"step": 8, "loss": 0.5, "lr": 1}\n' + entry + "\n")
    told = by_name(run_checks.log(tmp_path))
    assert told[name].verdict == verdict and said in told[name].measured


def test_a_run_that_makes_pictures_worse_is_told(folder):
    class Worse(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x, t):
            return 1 - x

    case = case_of(load(folder, device="cpu"))
    case = replace(case, run=replace(case.run, net=Worse()))
    (one,) = run_checks.restores(case)
    assert one.verdict == "warning" and "no nearer" in one.measured


def test_a_broken_degradation_is_found_by_the_contract_promise_by_promise():
    @register("stained")
    @dataclass(frozen=True, kw_only=True)
    class Stained(Degradation):
        stain: float = 0.0

        def degrade(self, x, s, params):
            return x + s + self.stain

    first, *broken = run_checks.contract(Stained(stain=0.1), (1, 64, 8))
    assert first.verdict == "problem" and first.measured.endswith("promises kept on images 1 x 32 x 8")
    assert first.measured.startswith("Stained(stain=0.1): ")
    told = " ".join(one.measured for one in broken)
    assert "breaks 'is_clean_at_zero'" in told and "breaks 'a_perfect_restorer_is_recovered'" in told
    assert len(broken) < 6 and {one.verdict for one in broken} == {"problem"}
    assert [one.verdict for one in run_checks.contract(Stained(), (1, 8, 8))] == ["ok"]


# --- the images of a run ---------------------------------------------------------------------------------------------


def test_images_are_those_that_are_named_or_come_with_the_library(folder, tmp_path):
    run = load(folder, device="cpu")
    assert case_of(run).images == "8 images of digits"
    album = tmp_path / "album"
    album.mkdir()
    for i in range(20):
        Image.new("L", (8, 8), 10 * i).save(album / f"{i}.png")
    case = case_of(run, str(album))
    assert case.images == f"8 images of {album}"
    assert sorted({int(image.max()) % 10 for image in case.data.images}) == [0]
    named = replace(run, config=run.config | {"data": run.config["data"] | {"data": str(album), "split": "all"}})
    assert f"made up (name '{album}' with --data" in case_of(named).images, "a place that a file names is not opened"
    assert case_of(named).data.shape == (1, 8, 8)
    assert "made up (" in case_of(run, "owner/nothing").images


def test_of_large_images_there_are_few(folder):
    run = load(folder, device="cpu")
    large = replace(run, config=run.config | {"image": {"channels": 1, "size": [200, 300]}})
    assert tuple(case_of(large).data.images.shape) == (2, 1, 200, 300)


def test_what_data_would_bring_is_made_up(folder):
    op = Degradation.from_config("interpolate")
    run = load(folder, device="cpu")
    training = run.config["training"] | {"paired_data": "elsewhere", "restorer": {"type": "nobody's"}}
    run = replace(run, degradation=op, config=run.config | {"training": training})
    case = case_of(run)
    assert case.batch.params["endpoint"].shape == case.batch.x0.shape
    assert by_name(run_checks.restores(case))["restored"].verdict == "skipped"


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warning", 0), ("skipped", 0), ("problem", 1)])
@pytest.mark.parametrize("json_wanted", [False, True], ids=["text", "json"])
def test_a_problem_and_nothing_else_ends_with_1(monkeypatch, capsys, verdict, code, json_wanted):
    one = Finding("threads", verdict, "8 threads, 2 usable cores", "OMP_NUM_THREADS=2")
    monkeypatch.setattr(doctor, "examine", lambda *given: iter(["threads at large", one]))
    assert colddiff("doctor", *(["--json"] if json_wanted else [])) == code
    told = capsys.readouterr().out
    assert "\033" not in told
    if json_wanted:
        parsed = json.loads(told)
        assert parsed["verdicts"] == {verdict: 1} and parsed["run"] is None
        assert parsed["findings"] == [{"section": "threads at large"} | vars(one)]
    else:
        title, line, cure, _, summary = told.splitlines()
        assert title == "threads at large" and line.split()[:2] == [verdict, "threads"]
        assert cure.strip() == "-> OMP_NUM_THREADS=2" and cure.index("->") == line.index("8 threads")
        assert f"1 {verdict}" in summary


def test_colours_are_for_terminals_only(monkeypatch):
    one = Finding("threads", "problem", "8 threads")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(doctor.sys.stdout, "isatty", lambda: True, raising=False)
    assert "\033[31mproblem" in doctor._shown(one)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in doctor._shown(one)


def test_what_is_no_run_is_wrong_use(capsys, tmp_path):
    assert colddiff("doctor", tmp_path) == 2
    told = capsys.readouterr()
    assert told.out == "" and "is not a run" in told.err and told.err.count("\n") == 1


@pytest.fixture
def no_self_check(monkeypatch):
    """Without what every installation is asked."""
    for name in ("network_paths", "optimizer_paths", "overfit"):
        monkeypatch.setattr(doctor, name, lambda *given: [])
    monkeypatch.setattr(doctor, "operator_paths", list)
    for name in ("versions", "devices", "precision", "threads"):
        monkeypatch.setattr(machine_checks, name, lambda *given: [])


def test_a_training_that_ended_before_it_saved_a_state_is_examined_all_the_same(tmp_path, no_self_check):
    (tmp_path / "log.jsonl").write_text('{"step": 8, "lr": 1}\n')
    told = by_name(one for one in doctor.examine(str(tmp_path), device="cpu") if isinstance(one, Finding))
    assert told["config"].verdict == "problem" and "before it saved" in told["config"].measured
    assert told["log"].verdict == "problem" and "comes with the library" in told["network"].measured


def test_a_run_that_cannot_be_loaded_ends_nothing_else(copied, no_self_check):
    (copied / "model.safetensors").write_bytes(b"torn")
    told = by_name(one for one in doctor.examine(str(copied), device="cpu") if isinstance(one, Finding))
    assert told["run"].verdict == "problem" and "not a readable safetensors file" in told["run"].measured
    assert told["step-00000004"].verdict == "ok" and "comes with the library" in told["network"].measured


@pytest.mark.slow
def test_the_whole_examination_finds_no_problem_in_the_run_that_comes_with_the_library(capsys):
    assert colddiff("doctor", "digits", "--device", "cpu", "--json") == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    sections = list(dict.fromkeys(one["section"] for one in found))
    assert sections == [
        "versions", "devices", "precision", "threads", "run digits", "fast paths against float32 eager",
        "one batch learned by heart", "one batch restored", "contract of the run's degradation",
    ]  # fmt: skip
    assert {one["name"] for one in found} >= {"torch", "threads", "weights", "channels_last", "overfit", "contract"}
