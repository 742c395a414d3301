"""What is faster gives the same answers, or is not used."""

import warnings

import pytest
import torch
from support.tiny import config
from torch import nn

from colddiff import TrainConfig, UNetConfig, train
from colddiff.models.networks.unet import UNet
from colddiff.models.precision import CheckedRestorer, CompiledModel, wrong_slope

LAST = torch.tensor([3])


class Exact(nn.Module):
    """Its answer lives on digits that bf16 has not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(6))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != 3:
            raise ValueError("three channels, please")
        return 0.5 + 1e4 * ((x @ self.weight).float() - x)


def lively(width: int = 16) -> UNet:
    """A U-Net whose last layers are not zero, as they are at the beginning."""
    torch.manual_seed(0)
    net = UNetConfig(channels=3, width=width, multipliers=(1, 2), blocks=1).build().eval()
    for parameter in net.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return net


def batch(n: int = 3, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 3, side, side, generator=generator), torch.rand(n, generator=generator)


def test_bf16_is_used_where_it_gives_the_answer_of_float32() -> None:
    net, (x, t) = lively(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = CheckedRestorer(net, "bf16")
        answer = fast(x, t)
    exact = CheckedRestorer(net)(x, t)
    assert fast.used == "bf16 weights"
    assert answer.dtype == torch.float32 and not torch.equal(answer, exact)
    assert float((answer - exact).norm() / exact.norm()) < 2e-2


def test_weights_in_bf16_follow_those_of_the_network() -> None:
    net, (x, t) = lively(), batch()
    fast = CheckedRestorer(net, "bf16")
    before = fast(x, t)
    with torch.no_grad():
        net.head[2].bias.add_(0.5)
    assert torch.allclose(fast(x, t), CheckedRestorer(net, "bf16")(x, t)) and not torch.allclose(fast(x, t), before)


def test_weights_in_bf16_follow_those_that_were_replaced() -> None:
    net, (x, t) = lively(), batch()
    fast = CheckedRestorer(net, "bf16")
    fast(x, t)
    net.head[2].bias.data = net.head[2].bias.data + 0.5  # as `.to(device)` does
    assert torch.allclose(fast(x, t), CheckedRestorer(net, "bf16")(x, t))


def test_bf16_gives_way_to_float32_with_a_warning_where_it_does_not() -> None:
    net, (x, t) = Exact(), batch(side=6)
    fast = CheckedRestorer(net, "bf16")
    with pytest.warns(UserWarning, match=r"eager bf16 is .*% off float32: images \(3, 3, 6, 6\) go on in eager f"):
        answer = fast(x, t)
    assert torch.equal(answer, net(x, t))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(fast(x, t), answer)  # said once


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda call: lambda x, t: call(x, t) * float("nan"), "not finite"),
        (lambda call: lambda x, t: call(x, t) * 1.01, "1.0% off"),
        (lambda call: lambda x, t: 1 / 0, "cannot be run .division by zero"),
    ],
    ids=["nan", "wrong", "crash"],
)
def test_a_compiler_that_gets_it_wrong_is_left_out(broken, complaint, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda call, **options: broken(call))
    net, (x, t) = lively(), batch()
    with pytest.warns(UserWarning, match=f"compiled fp32 .*{complaint}.*go on in eager float32"):
        assert torch.equal(CheckedRestorer(net, compile=True)(x, t), CheckedRestorer(net)(x, t))


def test_every_size_of_a_batch_is_checked_when_compiled_and_every_image_size_when_not(monkeypatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "compile", lambda call, **options: call)
    for kind, shapes in (({"compile": True}, 3), ({"precision": "bf16"}, 2)):
        fast = CheckedRestorer(lively(), **kind)
        exact = fast.exact.call
        object.__setattr__(fast.exact, "call", lambda x, t, exact=exact: asked.append(len(x)) or exact(x, t))
        for n, side in ((3, 8), (3, 8), (5, 8), (3, 12)):
            fast(*batch(n, side))
        assert asked == [2] * shapes
        asked.clear()


def test_a_number_that_is_not_finite_is_seen_wherever_it_is(monkeypatch) -> None:
    monkeypatch.setattr(
        torch, "compile", lambda call, **options: lambda x, t: call(x, t).index_fill(0, LAST, torch.inf)
    )
    net, (x, t) = lively(), batch(4)
    with pytest.warns(UserWarning, match="gives numbers that are not finite"):
        assert torch.equal(CheckedRestorer(net, compile=True)(x, t), CheckedRestorer(net)(x, t))


def test_black_pictures_raise_no_alarm_and_a_wrong_size_leaves_the_others() -> None:
    fast = CheckedRestorer(lively(), "bf16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(torch.full((2, 3, 8, 8), 1e-3), torch.full((2,), 0.1))
    fast = CheckedRestorer(Exact(), "bf16")
    with pytest.warns(UserWarning, match="off float32"):
        fast(*batch(side=6))
    fast(torch.zeros(2, 3, 3, 6), torch.ones(2))  # nothing is rounded there
    assert fast.used == "eager bf16"
    fast(*batch(side=6))
    assert fast.used == "eager float32"


def test_short_memory_is_no_reason_to_take_more() -> None:
    class Hungry(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no room")

    fast = CheckedRestorer(Hungry(), "bf16")
    with pytest.raises(torch.OutOfMemoryError):
        fast(*batch())
    assert not fast.ways[0].trusted


def test_a_gradient_the_other_way_round_is_seen() -> None:
    net, (x, t) = lively(), batch()

    class Backwards(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            answer = net(x, t)
            return 2 * answer.detach() - answer

    assert "gradient that is 200.0% off" in wrong_slope(
        Backwards(), net, lambda model, precision: model(x, t).square().mean(), "fp32"
    )


def test_a_check_raises_no_alarm_over_dropout_and_moves_no_running_mean() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 3, 1))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x, _ = batch()
    assert wrong_slope(net, net, lambda model, precision: model(x).square().mean(), "fp32") == ""
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_images_that_do_not_fit_are_the_callers_mistake_and_change_nothing() -> None:
    fast = CheckedRestorer(Exact(), "bf16")
    with pytest.raises(ValueError, match="three channels"):
        fast(torch.rand(1, 1, 6, 6), torch.ones(1))
    assert not fast.ways[0].trusted


def test_a_compiled_way_keeps_the_first_layer_in_float32_and_leaves_the_network_alone(monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call, **options: compiled.append(call) or call)
    net = lively()
    CheckedRestorer(net, "bf16", compile=True)(*batch())
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    (copied,) = (cell.cell_contents for cell in compiled[0].__closure__ if isinstance(cell.cell_contents, UNet))
    assert {name: p.dtype for name, p in copied.named_parameters() if p.dtype == torch.float32}.keys() == {
        "stem.weight",
        "stem.bias",
    }


def test_training_leaves_out_a_compiler_that_changes_the_gradient(monkeypatch) -> None:
    net, (x, t) = lively(), batch()

    def loss_of(model: nn.Module, precision: str) -> torch.Tensor:
        return model(x, t).square().mean()

    class Steeper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            answer = self.inner(x, t)
            return answer + 0.2 * (answer - answer.detach())

    monkeypatch.setattr(torch, "compile", Steeper)
    assert wrong_slope(net, net, loss_of, "fp32") == ""
    with pytest.warns(UserWarning, match=r"compiled network has a gradient that is 20.0% off .*without compiling"):
        model = CompiledModel(net, loss_of, "fp32")
    assert torch.equal(model(x, t), net(x, t)) and not model.fast


def test_a_run_that_cannot_be_compiled_is_trained_all_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: Refusing())
    with pytest.warns(UserWarning, match="cannot be run .no compiler here."):
        run = train(config(tmp_path / "run", steps=2, compile=True), progress=False)
    assert run.config["step"] == 2


class Refusing(nn.Module):
    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler here")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inductor_gives_the_answers_of_the_network(precision) -> None:
    net, (x, t) = lively(), batch()
    fast = CheckedRestorer(net, precision, compile=True)
    answer, exact = fast(x, t), CheckedRestorer(net)(x, t)
    assert fast.used == f"compiled {precision}"
    assert float((answer - exact).norm() / exact.norm()) < {"fp32": 1e-4, "bf16": 2e-2}[precision]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inductor_trains(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the compiled network")
        run = train(config(tmp_path / "run", steps=2, compile=True), progress=False)
    assert run.config["step"] == 2


def test_train_config_knows_the_switch() -> None:
    assert TrainConfig.__dataclass_fields__["compile"].default is False
