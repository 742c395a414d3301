"""The app: what its tabs compute, and the controls that it makes of fields."""

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import colddiff as cd
from colddiff.data.framing import Framing
from colddiff.degradations.base import Degradation
from colddiff.models.run import Run
from colddiff.samplers.generation import initial_state, interpolated_states
from colddiff.utils.config import field_types, registered

gr = pytest.importorskip("gradio")

from colddiff.apps.web import controls, degrade_tab, generate_tab, restore_tab, uploads  # noqa: E402
from colddiff.apps.web.server import named  # noqa: E402

OPERATORS = sorted(registered(Degradation.group))
OFFLINE = Path(uploads.__file__).with_name("network_guard.py")


@pytest.fixture(scope="module")
def digits() -> Run:
    return cd.load("digits", device="cpu", precision="fp32")


@pytest.fixture
def shelf(tmp_path: Path) -> uploads.UploadStore:
    return uploads.UploadStore(tmp_path / "shelf")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def frames(path: str) -> int:
    with Image.open(path) as film:
        return film.n_frames


# --- controls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_every_field_of_every_operator_has_a_control(name):
    made = controls.controls(name)
    assert {control.name for control in made} == set(field_types(registered(Degradation.group)[name]))
    assert all(isinstance(control.component(), gr.components.Component) for control in made)


@pytest.mark.parametrize("name", OPERATORS)
def test_controls_that_nobody_touched_are_the_default_operator(name):
    values = [control.component().value for control in controls.controls(name)]
    fields = {"compose": {"parts": ("gaussian_blur", "jpeg")}, "one_of": {"options": ("gaussian_blur", "pixelate")}}
    assert controls.operator(name, values) == cd.degradation(name, **fields.get(name, {}))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_code_that_is_shown_makes_the_picture_that_is_shown(name, shelf, photo, monkeypatch, tmp_path):
    values = [control.component().value for control in controls.controls(name)]
    shown, code = degrade_tab.Degrading(shelf).at(photo, photo, name, 0.5, 3, *values)
    (tmp_path / "picture.png").write_bytes(Path(photo).read_bytes())
    (tmp_path / "other.png").write_bytes(Path(photo).read_bytes())
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(code, made)
    damaged = made["damaged"][0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(pixels(shown) / 255 - damaged).max() <= 0.5 / 255 + 1e-6, code
    assert max(map(len, code.splitlines())) <= 120


def test_what_is_typed_reaches_the_operator():
    made = {control.name: control for control in controls.controls("gaussian_mask")}
    values = [control.component().value for control in made.values()]
    places = list(made)
    values[places.index("kernel_std")] = 0.3
    values[places.index("fill")] = "[0.1, 0.2, 0.3]"
    values[places.index("schedule")] = "cosine"
    op = controls.operator("gaussian_mask", values)
    assert op == cd.GaussianMask(kernel_std=0.3, fill=(0.1, 0.2, 0.3), schedule=cd.Cosine())


def test_a_list_that_is_none_is_told_in_a_sentence():
    (fill,) = (control for control in controls.controls("pixel_mask") if control.name == "fill")
    with pytest.raises(ValueError, match=r"fill is a list like \[0\.5\], got half"):
        fill.value("half")


@pytest.mark.parametrize(("typed", "is_there"), [("", None), ("none", None), ("7", 7)])
def test_a_number_that_may_be_none_is_a_box_that_may_be_empty(typed, is_there):
    (steps,) = (control for control in controls.controls("desaturate") if control.name == "num_steps")
    assert steps.component().value == "" and steps.value(typed) == is_there
    with pytest.raises(ValueError, match="num_steps is a whole number or none, got many"):
        steps.value("many")


def test_a_number_that_was_deleted_is_the_default_again():
    (sigma,) = (control for control in controls.controls("gaussian_blur") if control.name == "sigma_max")
    assert sigma.value(None) == cd.GaussianBlur().sigma_max


# --- pictures --------------------------------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(uploads, "MOST_PIXELS", 300 * 299)
    monkeypatch.setattr(Framing, "read", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="300 x 300 pixels"):
        uploads.read(str(tmp_path / "large.png"), Framing())


def test_a_large_picture_is_made_smaller_and_keeps_its_shape(tmp_path):
    Image.new("RGB", (1200, 300)).save(tmp_path / "wide.png")
    assert uploads.read(str(tmp_path / "wide.png"), Framing(colour="rgb")).shape == (1, 3, 128, 512)


@pytest.mark.parametrize(
    ("name", "said"), [("broken.png", "no format that Pillow knows"), ("gone.png", "give it again")]
)
def test_a_broken_picture_is_named_without_its_folder(tmp_path, name, said):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(ValueError, match=f"^'{name}' .*{said}"):
        uploads.read(str(tmp_path / name), Framing())


def test_no_picture_is_told_in_a_sentence():
    with pytest.raises(ValueError, match="no picture is chosen"):
        uploads.read(None, Framing())


def test_a_picture_on_the_shelf_is_written_once(shelf):
    picture = Image.new("L", (4, 4))
    assert shelf.put(picture) != shelf.put(picture)


def test_a_shelf_holds_the_last_pictures_and_those_that_are_kept(shelf, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 3)
    kept = shelf.put(Image.new("L", (4, 4)), keep=True)
    made = [shelf.put(Image.new("L", (4, 4))) for _ in range(4)] + [shelf.put_film([Image.new("L", (4, 4))] * 2)]
    assert sorted(map(str, shelf.folder.iterdir())) == sorted([kept, *made[2:]])


# --- degrade ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_degrades_any_picture(name, shelf, photo):
    shown, strip, code = degrade_tab.Degrading(shelf).all(photo, photo, name, 0.5, 0)
    assert pixels(shown).shape == (40, 48, 3) and pixels(strip).shape[1] > 8 * 48 and name in code


def test_the_degraded_picture_is_that_of_the_library(shelf, photo):
    shown, _ = degrade_tab.Degrading(shelf).at(photo, photo, "pixelate", 0.5, 0)
    expected = cd.Pixelate()(cd.read_images(photo), 0.5)[0]
    assert np.abs(pixels(shown) / 255 - expected.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_at_zero_the_picture_is_clean_and_a_seed_decides_what_is_random(shelf, photo):
    work = degrade_tab.Degrading(shelf)
    clean, once, again, other = (
        pixels(work.at(photo, photo, "gaussian_noise", t, seed)[0])
        for t, seed in ((0.0, 0), (0.5, 0), (0.5, 0), (0.5, 1))
    )
    assert (clean == pixels(photo)).all()
    assert (once == again).all() and (once != other).any()


def test_the_animation_goes_from_clean_to_degraded(shelf, photo):
    film = degrade_tab.Degrading(shelf).animation(photo, photo, "gaussian_blur", 0)["value"]
    assert frames(film) == degrade_tab.FRAMES


# --- restore ---------------------------------------------------------------------------------------------------------


def race(work: restore_tab.Restoring, picture: str, **changes: object) -> list[tuple]:
    asked = {
        "name": "digits", "picture": picture, "hole": None, "kind": restore_tab.CLEAN, "size": restore_tab.FRAMED,
        "start": 1.0, "samplers": ["one_shot", "improved"], "steps": 4, "seed": 0,
    }  # fmt: skip
    return list(work.race(*(asked | changes).values()))


def cells(table: str) -> list[list[str]]:
    """The rows of a table in Markdown."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.fixture
def work(digits: Run, shelf: uploads.UploadStore) -> restore_tab.Restoring:
    return restore_tab.Restoring({"digits": digits}, shelf)


def test_a_race_shows_every_call_and_ends_where_restore_ends(work, digits):
    picture = work.examples("digits")[0]
    shown = race(work, picture)
    assert len(shown) == 4 + 1, "one for every call, and the end with the walk"
    _, table, plot, walk, film = shown[-1]
    rows = cells(table)
    assert [row[:3] for row in rows] == [["one_shot", "1", "0.00"], ["improved", "4", "0.00"]]
    x = torch.from_numpy(pixels(picture).copy())[None, None].float() / 255
    restored = digits.restore(digits.degradation(x, 1.0), start=1.0, steps=4, sampler="improved")
    assert float(rows[1][3]) == pytest.approx(float((restored - x).square().mean().sqrt()), abs=1e-4)
    assert frames(film) == 5 and Path(plot).exists() and Path(walk).exists()


def test_a_picture_that_is_damaged_already_is_not_measured(work):
    shown = race(work, work.examples("digits")[0], kind=restore_tab.DAMAGED)
    sheets = [pixels(end[0]).shape[1] for end in (shown[-1], race(work, work.examples("digits")[0])[-1])]
    assert cells(shown[-1][1])[0][3:6] == ["", "", ""] and shown[-1][2] is None
    assert sheets[0] < sheets[1], "there is no error map, and no clean picture"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"samplers": []}, "no sampler is chosen"), ({"picture": None}, "no picture"), ({"samplers": ["ddpm"]}, "use ")],
)
def test_what_cannot_be_restored_is_told_in_a_sentence(work, changes, said):
    with pytest.raises(ValueError, match=said):
        race(work, **({"picture": work.examples("digits")[0]} | changes))


def test_only_samplers_that_can_walk_are_offered(digits):
    assert restore_tab.supported(digits) == ["one_shot", "naive", "improved", "heun", "multistep", "ihdm"]
    noisy = dataclasses.replace(digits, degradation=cd.GaussianNoise())
    assert {"estimated", "ddpm"} <= set(restore_tab.supported(noisy))
    masked = dataclasses.replace(digits, degradation=cd.PixelNoise())  # which nobody can read off a picture
    assert "improved" not in restore_tab.supported(masked) and "improved" in restore_tab.supported(
        masked, from_prior=True
    )


def test_a_mask_of_another_size_is_told(work, tmp_path):
    Image.new("L", (30, 20), 255).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match="30 x 20 pixels"):
        race(work, work.examples("digits")[0], hole=str(tmp_path / "mask.png"), size=restore_tab.WHOLE)


# --- generate --------------------------------------------------------------------------------------------------------


def test_a_grid_has_the_images_of_its_seeds(digits, shelf):
    work = generate_tab.Generating({"digits": digits}, shelf)
    *_, (sheet, line) = work.images("digits", generate_tab.GRID, 4, 3, 0, "improved", 5)
    own = digits.sample(4, seed=3, steps=5, batch_size=4)
    pixels = (
        np.asarray(Image.open(sheet).convert("L"))[2:98:6, 2:98:6] / 255
    )  # of the first: 16 pixels, 6 times as large
    assert np.abs(pixels - own[0, 0].numpy()).max() <= 0.5 / 255 + 1e-5
    assert "seeds 3 to 6" in line and "5 calls" in line


def test_between_two_seeds_the_ends_are_the_images_of_the_seeds(digits):
    assert digits.prior is not None
    _, x = interpolated_states(digits.degradation, digits.prior, digits.shape, (5, 9), 7)
    ends = initial_state(
        digits.degradation, digits.prior, digits.shape, [torch.Generator().manual_seed(s) for s in (5, 9)]
    )[1]
    torch.testing.assert_close(x[[0, -1]], ends, rtol=0, atol=1e-6)
    assert len(x) == 7 and x[0].sub(x[3]).abs().max() > 1e-3


def test_images_that_are_made_in_parts_are_those_of_their_seeds(digits, shelf, monkeypatch):
    noise = cd.GaussianMask()  # random: each image has params of its own
    other = dataclasses.replace(digits, degradation=noise, prior=cd.Constant(sigma=0.1))
    work = generate_tab.Generating({"digits": other}, shelf)
    monkeypatch.setattr(Run, "chunk", 2)
    for kind, rows in ((generate_tab.GRID, 5), (generate_tab.BETWEEN, 5)):
        *_, (sheet, _) = work.images("digits", kind, rows, 3, 9, "improved", 2)
        monkeypatch.setattr(Run, "chunk", 8)
        *_, (whole, _) = work.images("digits", kind, rows, 3, 9, "improved", 2)
        assert np.abs(pixels(sheet).astype(int) - pixels(whole)).max() <= 1
        monkeypatch.setattr(Run, "chunk", 2)


def test_more_images_than_fit_are_refused(digits, shelf):
    with pytest.raises(ValueError, match="1 to 64"):
        next(
            generate_tab.Generating({"digits": digits}, shelf).images("digits", generate_tab.GRID, 65, 0, 0, "naive", 1)
        )


# --- the process -----------------------------------------------------------------------------------------------------


def test_runs_of_one_name_are_called_by_their_place(digits, monkeypatch):
    monkeypatch.setattr("colddiff.apps.web.server.load", lambda place, **_: place)
    assert [*named(["a/run", "b/run", "c/other", "a/run"], "cpu")] == ["a/run", "b/run", "other"]


@pytest.mark.parametrize("name", [None, "", b"", "localhost", "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "10.1.2.3"])
def test_this_machine_is_told_by_its_addresses(name):
    assert runpy.run_path(str(OFFLINE))["is_own"](name, "10.1.2.3")


@pytest.mark.parametrize("name", ["example.com", "93.184.216.34", "10.1.2.4", "localhost.example.com", "127.0.0.1.io"])
def test_other_machines_are_other_machines(name):
    assert not runpy.run_path(str(OFFLINE))["is_own"](name, "10.1.2.3")


def test_a_process_that_stays_offline_reaches_itself_and_nobody_else():
    code = f"""
import runpy, socket
runpy.run_path({str(OFFLINE)!r})["stay_offline"]("127.0.0.1")
with socket.socket() as own:
    own.bind(("127.0.0.1", 0)); own.listen(); socket.create_connection(own.getsockname()).close()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for reach, *arguments in (
    (socket.create_connection, ("93.184.216.34", 80), 1), (socket.getaddrinfo, "a.com", 80),
    (socket.gethostbyname, "a.com"), (socket.gethostbyname_ex, "a.com"), (udp.sendto, b"", ("93.184.216.34", 53)),
    (udp.sendmsg, [b""], [], 0, ("93.184.216.34", 53)),
):
    try:
        reach(*arguments)
    except ConnectionRefusedError as error:
        assert "asks nothing of other machines" in str(error), error
    else:
        raise SystemExit("reached")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
