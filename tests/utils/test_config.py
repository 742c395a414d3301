"""Names, configurations and plug-ins."""

import json
from dataclasses import FrozenInstanceError, dataclass

import pytest

import colddiff
from colddiff import (
    BetaTable,
    CosineBetas,
    Degradation,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    Linear,
    LinearSigma,
    PiecewiseLinear,
    PixelMask,
    Power,
    Prior,
    Schedule,
    StandardNormal,
    UNetConfig,
    UniformNoise,
)
from colddiff.utils import config as registry_module
from colddiff.utils.config import lookup, plug_ins, register, registered, suggestion

VALUES = [
    GaussianBlur(sigma_max=3, schedule=Power(exponent=3)),
    IteratedBlur(sigmas=LinearSigma(), border="reflect"),
    GaussianMask(fill=(0.1, 0.2, 0.3), random_center=False),
    GaussianNoise(betas=BetaTable(values=(0.1, 0.5)), schedule=PiecewiseLinear(values=(0, 0.25, 1))),
    Interpolate(),
    Interpolate(to=Interpolate(to=GaussianNoise(betas=CosineBetas(num_steps=3)))),
    StandardNormal(sigma=0.5),
    UNetConfig(multipliers=(1, 2)),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_value_survives_a_round_trip_through_json(value) -> None:
    text = json.dumps(value.to_config())
    again = type(value).from_config(json.loads(text))
    assert again == value and hash(again) == hash(value) and json.dumps(again.to_config()) == text


def test_equal_values_have_equal_json() -> None:
    assert GaussianBlur(sigma_max=12) == GaussianBlur(sigma_max=12.0)
    assert json.dumps(GaussianBlur(sigma_max=12).to_config()) == json.dumps(GaussianBlur(sigma_max=12.0).to_config())
    assert PixelMask(fill=[1]) == PixelMask(fill=(1.0,))  # type: ignore[arg-type]
    assert GaussianBlur(schedule="power") == GaussianBlur(schedule=Power())  # type: ignore[arg-type]
    nested = {"type": "power", "exponent": 3}
    assert GaussianBlur(schedule=nested) == GaussianBlur(schedule=Power(exponent=3.0))  # type: ignore[arg-type]


def test_a_config_names_its_type_and_every_field() -> None:
    config = GaussianBlur(sigma_max=3).to_config()
    assert config == {"type": "gaussian_blur", "schedule": {"type": "linear"}, "sigma_max": 3.0, "border": "reflect"}


def test_a_value_is_its_own_config() -> None:
    op = GaussianBlur()
    assert Degradation.from_config(op) is op


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        GaussianBlur().sigma_max = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: GaussianBlur(sigma_max="3"), "GaussianBlur.sigma_max must be float, got '3'"),
        (lambda: GaussianBlur(sigma_max=True), "got True"),
        (lambda: IteratedBlur(num_steps=3.0), "IteratedBlur.num_steps must be int, got 3.0"),
        (lambda: IteratedBlur(num_steps=True), "must be int, got True"),
        (lambda: UniformNoise(wrap=1), "UniformNoise.wrap must be bool, got 1"),
        (lambda: PixelMask(fill=0.5), "PixelMask.fill"),
        (lambda: PixelMask(fill=("red",)), "PixelMask.fill must be float"),
        (lambda: GaussianBlur(schedule=GaussianBlur()), "GaussianBlur.schedule must be Schedule"),
        (lambda: GaussianBlur(schedule=None), "GaussianBlur.schedule must be Schedule, got None"),
        (lambda: GaussianBlur(schedule={"exponent": 2}), "expected a name or"),
        (lambda: GaussianBlur(sigma=3), "sigma"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(build, words) -> None:
    with pytest.raises(TypeError, match=words):
        build()


@dataclass(frozen=True, kw_only=True)
class Undecided(Degradation):
    """A plug-in with a field of two types."""

    amount: int | str = 1

    def degrade(self, x, s, params):
        return x


def test_a_field_of_several_types_is_named() -> None:
    with pytest.raises(TypeError, match=r"Undecided.amount is declared as int \| str: a field has one type"):
        Undecided()


def test_an_optional_field_may_be_none() -> None:
    assert Interpolate(to=None).to is None
    assert Interpolate.from_config({"type": "interpolate", "to": None}) == Interpolate()


def test_an_unknown_field_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(TypeError, match=r"gaussian_blur has no field 'sigma_mx' \(did you mean 'sigma_max'\?\)"):
        colddiff.degradation("gaussian_blur", sigma_mx=3)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(LookupError, match=r"no degradation is named 'gausian_blur' \(did you mean 'gaussian_blur'\?\)"):
        colddiff.degradation("gausian_blur")
    with pytest.raises(LookupError, match=r"known: .*gaussian_mask.*uniform_noise"):
        colddiff.degradation("xyz")
    assert suggestion("xyz", ["abc"]) == ""


def test_families_do_not_share_names() -> None:
    assert isinstance(Schedule.from_config("linear"), Linear)
    assert isinstance(Prior.from_config("standard_normal"), StandardNormal)
    with pytest.raises(LookupError, match="no prior is named 'gaussian_blur'"):
        Prior.from_config("gaussian_blur")


def test_a_config_of_another_class_is_still_of_the_family() -> None:
    assert Degradation.from_config({"type": "gaussian_blur"}) == GaussianBlur()
    with pytest.raises((TypeError, AssertionError)):
        GaussianMask.from_config({"type": "gaussian_blur"})


@pytest.mark.parametrize("config", [3, None, ["gaussian_blur"], {"sigma_max": 3}, {"type": 3}])
def test_what_is_no_config_is_refused(config) -> None:
    with pytest.raises(TypeError, match="expected a name or"):
        Degradation.from_config(config)


@dataclass(frozen=True, kw_only=True)
class Unregistered(Degradation):
    def degrade(self, x, s, params):
        return x


def test_an_unregistered_class_works_and_refuses_to_be_saved() -> None:
    with pytest.raises(ValueError, match=r'Unregistered has no registered name.*@register\("..."\)'):
        Unregistered().to_config()
    with pytest.raises(ValueError, match="Unregistered"):
        Interpolate(to=Unregistered()).to_config()


def test_a_subclass_does_not_inherit_the_name_of_its_parent() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(GaussianBlur):
        pass

    with pytest.raises(ValueError, match="Mine has no registered name"):
        Mine().to_config()


def test_a_name_is_taken_once(monkeypatch) -> None:
    monkeypatch.setattr(registry_module, "_CLASSES", {g: dict(c) for g, c in registry_module._CLASSES.items()})
    with pytest.raises(ValueError, match=r"'gaussian_blur' is taken in colddiff.degradations by .*GaussianBlur"):

        @register("gaussian_blur")
        @dataclass(frozen=True, kw_only=True)
        class Other(Unregistered):
            pass


class FakePoint:
    """An installed plug-in."""

    def __init__(self, name: str, loaded: object) -> None:
        self.name, self.value, self.loaded, self.asked = name, f"plugin:{name}", loaded, 0

    def load(self) -> object:
        self.asked += 1
        return self.loaded


def installed(monkeypatch, *points: FakePoint) -> None:
    def entry_points(*, group: str, name: str | None = None) -> list[FakePoint]:
        return [p for p in points if group == "colddiff.degradations" and name in (None, p.name)]

    monkeypatch.setattr(registry_module, "entry_points", entry_points)


def test_a_plug_in_is_loaded_on_a_miss_only(monkeypatch) -> None:
    point, shadow = FakePoint("fog", Unregistered), FakePoint("gaussian_blur", Unregistered)
    installed(monkeypatch, point, shadow)
    assert isinstance(colddiff.degradation("gaussian_blur"), GaussianBlur)
    assert point.asked == shadow.asked == 0
    assert isinstance(colddiff.degradation("fog"), Unregistered) and point.asked == 1


def test_a_plug_in_is_offered_when_a_name_is_mistyped(monkeypatch) -> None:
    installed(monkeypatch, FakePoint("fog_of_war", Unregistered))
    with pytest.raises(LookupError, match=r"did you mean 'fog_of_war'"):
        colddiff.degradation("fog_of_wa")


def test_plug_ins_are_listed_by_name_and_not_imported(monkeypatch) -> None:
    points = FakePoint("fog", Unregistered), FakePoint("gaussian_blur", Unregistered)
    installed(monkeypatch, *points)
    assert plug_ins("colddiff.degradations") == ["fog"] and plug_ins("colddiff.priors") == []
    assert not any(p.asked for p in points)


@pytest.mark.parametrize("loaded", [print, 3, Linear])
def test_a_plug_in_of_another_kind_is_refused(loaded, monkeypatch) -> None:
    installed(monkeypatch, FakePoint("fog", loaded))
    with pytest.raises(TypeError, match="plugin:fog"):
        lookup("colddiff.degradations", "fog")


def test_what_is_registered_can_be_listed() -> None:
    assert registered("colddiff.degradations")["gaussian_blur"] is GaussianBlur
    assert registered("no.such.family") == {}
