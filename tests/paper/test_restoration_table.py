"""The paper's tables beside ours: what is trained, what is measured, what the check of the direction answers."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from support.tiny import NET

import colddiff.evaluation.rotation_classifier
import colddiff.training.train
from colddiff import IteratedBlur, Resolution, load_data
from colddiff.apps.cli.main import main
from colddiff.evaluation.feature_ensemble import Direction, direction
from colddiff.evaluation.metrics import Summary, summary
from colddiff.paper.generation_table import generation_table
from colddiff.paper.published import RESTORATION
from colddiff.paper.restoration_table import reproduce, runs_for
from colddiff.training.config import TrainConfig
from colddiff.training.train import complete, trained

pytest.importorskip("torchmetrics")


QUICK = {"steps": 3, "minutes": None, "restorer": NET, "batch_size": 4, "precision": "fp32", "device": "cpu"}


@pytest.fixture(autouse=True)
def hasty_classifiers(monkeypatch) -> None:
    monkeypatch.setattr(colddiff.evaluation.rotation_classifier, "STEPS", 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colddiff.evaluation.rotation_classifier, "STEPS", 3)
        table = reproduce("deblur", "digits", out, images=12, features="ensemble", changes=QUICK, progress=False)
    return table, out


def test_a_table_has_the_published_numbers_and_ours_for_both_inputs(made) -> None:
    table, _ = made
    assert table.data == "mnist" and table.published == RESTORATION["deblur"]["mnist"]
    assert [c.input for c in table.columns] == ["float32", "8 bits"]
    for column in table.columns:
        assert list(column.rows) == ["degraded", "wiener", "one_shot", "naive", "improved"]
        assert [row["calls"] for row in column.rows.values()] == [0, 0, 1, 20, 20]
        assert column.rows["one_shot"]["kid"]["low"] <= column.rows["one_shot"]["kid"]["high"]
        assert len(column.rows["one_shot"]["kids"]) == 3
    text = table.to_markdown()
    assert "| direct | 0.142 | 0.757 | 5.1 |" in text and "not comparable with published FID" in text


def test_the_degraded_row_is_one_root_mean_square_over_all_values(made) -> None:
    table, _ = made
    x0, op = load_data("digits", split="test", size=32)[:12], IteratedBlur()
    expected = float((op(x0, 1.0).clamp(0, 1) - x0).double().square().mean().sqrt())
    assert table.columns[0].rows["degraded"]["rmse"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("table, net", [("deblur", "wiener_unet"), ("inpaint", None), ("superres", None)])
def test_a_network_is_trained_for_each_input(table, net, tmp_path) -> None:
    base = TrainConfig(data="digits", degradation=IteratedBlur(), out=str(tmp_path / "run"))
    for_float, for_rounded = (config for _, config in runs_for(table, base))
    assert not for_float.quantize_inputs and for_rounded.quantize_inputs and for_float.out != for_rounded.out
    assert (for_float.restorer and for_float.restorer.registered_name) == net


def test_what_is_there_is_not_trained_again(made, monkeypatch) -> None:
    table, out = made
    monkeypatch.setattr("colddiff.training.train.train", lambda *_, **__: pytest.fail("trained again"))
    again = reproduce("deblur", "digits", out, images=12, features="ensemble", changes=QUICK, progress=False)
    assert again.columns[0].rows["one_shot"]["rmse"] == table.columns[0].rows["one_shot"]["rmse"]


def test_it_is_written_as_page_data_and_pictures(made, tmp_path) -> None:
    table, _ = made
    files = table.save(tmp_path)
    assert [f.name for f in files] == ["deblur.md", "deblur.json", "deblur-float32.png", "deblur-8bits.png"]
    told = json.loads(files[1].read_text())
    assert told["columns"][0]["direction"]["answer"] in ("yes", "no", "inconclusive")
    assert told["published"]["one_shot"]["rmse"] == 0.142


def test_a_training_that_was_cut_is_gone_on_with(tmp_path, monkeypatch) -> None:
    config = TrainConfig(data="digits", degradation=IteratedBlur(num_steps=3), out=str(tmp_path / "run"), **QUICK)
    rate, seen = colddiff.training.loop.learning_rate, []

    def cut(step, steps, told):
        seen.append(step)
        if seen == [0, 1]:
            signal.raise_signal(signal.SIGINT)
        return rate(step, steps, told)

    monkeypatch.setattr("colddiff.training.loop.learning_rate", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(config, progress=False)
    assert trained(config, progress=False).config["step"] == 3 and seen == [0, 1, 2]
    assert trained(config, progress=False).config["step"] == 3 and seen == [0, 1, 2]


def test_a_run_of_another_training_is_refused(made, tmp_path) -> None:
    _, out = made
    for changes, told in (({"steps": 4}, "steps was 3, now 4"), ({"seed": 7}, "seed was 0, now 7")):
        with pytest.raises(ValueError, match=f"run of another training: .*{told}"):
            reproduce("deblur", "digits", out, images=12, features="ensemble", changes=QUICK | changes, progress=False)
    with pytest.raises(ValueError, match="data was 'digits', now 'photos'"):
        config = TrainConfig(data="photos", degradation=IteratedBlur(), out=str(out / "deblur-mnist-8bit"))
        trained(config)


def test_a_run_from_before_a_setting_existed_had_its_default(tmp_path) -> None:
    config = TrainConfig(data="digits", degradation=IteratedBlur(num_steps=3), out=str(tmp_path / "run"), **QUICK)
    trained(config, progress=False)
    file = tmp_path / "run" / "config.json"
    told = json.loads(file.read_text())
    del told["training"]["cosine_decay"], told["training"]["input_noise"]
    file.write_text(json.dumps(told))
    assert complete(config)
    with pytest.raises(ValueError, match="cosine_decay was True, now False"):
        complete(replace(config, cosine_decay=False))


def test_what_cannot_be_judged_is_refused_before_any_training(tmp_path) -> None:
    for images in (1, -3, 0):
        with pytest.raises(ValueError, match="expected at least 4 images"):
            reproduce("deblur", "digits", tmp_path, images=images)
        with pytest.raises(ValueError, match="expected at least 4 images"):
            generation_table("digits", tmp_path, images=images)
    with pytest.raises(ValueError, match="puts a unet behind the Wiener estimate, not diffusers_unet"):
        reproduce("deblur", "digits", tmp_path, changes={"restorer": "diffusers_unet"})
    assert not list(tmp_path.iterdir())


def test_tables_and_rows_that_are_not_there_are_refused(tmp_path) -> None:
    with pytest.raises(LookupError, match="no table is named 'denoise'"):
        reproduce("denoise", "digits", tmp_path)
    with pytest.raises(LookupError, match="no row 'afhq'"):
        reproduce("deblur", "digits", tmp_path, row="afhq")
    with pytest.raises(LookupError, match="no row 'mnist'"):
        generation_table("digits", tmp_path, row="mnist")
    assert main(["reproduce", "denoise", "digits", "--out", str(tmp_path)]) == 2


def test_the_papers_chain_is_the_closed_form_but_for_its_rounding() -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for op in (IteratedBlur(), IteratedBlur(border="reflect", kernel_size=5), IteratedBlur(ends_in_mean=True)):
        D, exact = op.bind(like=x), op.bind(like=x.double())
        for k in (0, 1, 7, 20):
            stepped, closed = D.chain(x, k / 20), exact(x.double(), k / 20)
            assert float((stepped - closed).abs().max()) < 1e-6
            assert torch.allclose(exact.chain(x.double(), k / 20), closed, atol=1e-12)
    assert not torch.equal(op.bind(like=x).chain(x, 0.5), op(x, 0.5))  # it is not the closed form under another name


def test_what_has_no_chain_of_its_own_is_its_closed_form() -> None:
    x = torch.rand(1, 1, 16, 16)
    assert torch.equal(Resolution().bind(like=x).chain(x, 2 / 3), Resolution()(x, 2 / 3))


def noisy(mean: float) -> torch.Tensor:
    return mean + 0.01 * torch.randn(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    "kids, rmse, answer",
    [
        ((-0.1, -0.1, -0.1), 0.1, "yes"), ((-0.1, -0.1, 0.1), 0.1, "inconclusive"),
        ((-0.1, -0.1, -0.1), 0.0, "inconclusive"), ((0.1, 0.1, 0.1), 0.1, "no"), ((-0.1, -0.1, -0.1), -0.1, "no"),
    ],
)  # fmt: skip
def test_the_direction_is_what_all_judges_and_the_distance_say(kids, rmse, answer) -> None:
    zero = torch.zeros(100, dtype=torch.float64)
    wide = noisy(rmse) if rmse else torch.linspace(-1, 1, 100, dtype=torch.float64)
    found = direction([noisy(k) for k in kids], [zero] * 3, wide, zero)
    assert found.answer == answer and answer in str(found)
    assert found.perception[0] == summary(noisy(kids[0]))


def test_a_direction_is_told_with_its_intervals() -> None:
    told = str(Direction((Summary(-0.01, -0.02, -0.005),), Summary(0.01, 0.005, 0.02)))
    assert told == "yes (KID differs by -0.0100 [-0.0200, -0.0050]; RMSE by +0.0100 [+0.0050, +0.0200])"


def test_inception_is_a_judge_like_the_others(made, monkeypatch) -> None:
    class Two(torch.nn.Module):
        num_features = 2

        def forward(self, x):
            return x.mean(dim=(1, 2, 3))[:, None].expand(-1, 2) + x.amax(dim=(1, 2, 3))[:, None]

    _, out = made
    monkeypatch.setattr("colddiff.evaluation.feature_ensemble.inception", lambda run: Two())
    table = reproduce("deblur", "digits", out, images=12, features="inception", changes=QUICK, progress=False)
    assert len(table.columns[0].rows["one_shot"]["kids"]) == 1
    assert table.protocol["FID*, KID*"] == "Inception of torch-fidelity, as published numbers"
