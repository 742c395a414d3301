"""Data sets of the Hugging Face hub are read by the same rules as folders, and nothing of theirs is executed."""

import io
import logging
import sys
import warnings

import pytest
from PIL import Image
from support.image_folders import numbers

from colddiff.data import load_data
from colddiff.data.huggingface import is_hub_name

datasets = pytest.importorskip("datasets")
huggingface_hub = pytest.importorskip("huggingface_hub")


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return {"bytes": stream.getvalue(), "path": None}


def numbered(values, column="image"):
    """A data set of pictures whose every pixel is their number; None is a missing one."""
    rows = [None if v is None else encoded(Image.new("L", (8, 8), v)) for v in values]
    features = datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()})
    return datasets.Dataset.from_dict({"label": [*range(len(rows))], column: rows}, features=features)


@pytest.fixture
def saved(tmp_path, capfd):
    """Write a data set to disk, and forget that datasets was talking."""

    def save(dataset, name="set"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_to_disk(str(tmp_path / name))
        capfd.readouterr()
        return tmp_path / name

    return save


@pytest.fixture
def hub(monkeypatch):
    """What is on the hub, by name and config; every call is kept."""

    class Hub(dict):
        calls = []

    found = Hub()
    found.calls = []

    def load_dataset(path, name=None, **options):
        found.calls.append((path, name, options))
        value = found[path, name]
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return found


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_a_saved_data_set_is_split_like_a_folder(saved):
    folder = saved(numbered(range(20), column="photo"))
    train, test = (load_data(folder, split=s) for s in ("train", "test"))
    assert len(train) > len(test) > 0 and train.images.shape[1:] == (1, 8, 8)
    assert sorted(numbers(train) + numbers(test)) == list(range(20))


def test_the_splits_that_a_saved_data_set_brings_are_used(saved):
    parts = {"train": range(6), "validation": range(50, 53), "test": range(60, 62), "unlabelled": range(90, 99)}
    folder = saved(datasets.DatasetDict({name: numbered(values) for name, values in parts.items()}))
    assert numbers(load_data(folder)) == list(range(6))
    held = load_data(folder, split="held_out")
    assert numbers(held) == [50, 51, 52] and held.protocol["split"] == "validation"
    assert numbers(load_data(folder, split="test")) == [60, 61]
    assert numbers(load_data(folder, split="all")) == [*range(6), 50, 51, 52, 60, 61]  # as of folders
    with pytest.raises(LookupError, match=r"no split 'train'; it has test"):
        load_data(saved(datasets.DatasetDict(test=numbered(range(3))), "tests"))


def test_a_saved_data_set_that_is_broken_is_named(saved):
    folder = saved(numbered(range(3)))
    next(folder.glob("*.arrow")).write_bytes(b"no arrow")
    with pytest.raises(ValueError, match=r"set' cannot be read as a data set of the datasets package: \w+") as caught:
        load_data(folder)
    assert "\n" not in str(caught.value)


def test_pictures_of_a_data_set_go_by_our_rule_for_every_picture(saved):
    clear = encoded(Image.new("RGBA", (4, 8), (255, 0, 0, 0)))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (8, 4), (0, 255, 0)), "JPEG", exif=exif)
    features = datasets.Features({"image": datasets.Image()})
    folder = saved(datasets.Dataset.from_dict({"image": [clear, turned]}, features=features))
    images = load_data(folder, split="all", background=(0.0,)).images
    assert images.shape == (2, 3, 8, 4) and images[0].max() == 0 and images[1, 1].min() > 250


def test_missing_and_broken_pictures_of_a_data_set_are_left_out_by_row(saved):
    dataset = numbered([*range(20), None])
    folder = saved(dataset)
    with pytest.warns(UserWarning, match=r"left out 1 of 21 images in '.*set', unreadable: row 20 \(empty"):
        assert numbers(load_data(folder, split="all")) == list(range(20))


def test_a_data_set_without_pictures_is_named_with_its_columns(saved):
    folder = saved(datasets.Dataset.from_dict({"text": ["a"], "label": [1]}))
    with pytest.raises(ValueError, match=r"set' has no column of images, only text \(Value\), label \(Value\)"):
        load_data(folder, split="all")


def test_saved_data_sets_make_pairs_by_position(saved):
    clean, damaged = saved(numbered(range(20)), "clean"), saved(numbered(range(100, 120)), "damaged")
    data = load_data(clean, paired_data=damaged)
    assert numbers(data) == numbers(load_data(clean))
    assert (data.params["endpoint"].int() - data.images.int()).unique().tolist() == [100]


@pytest.mark.parametrize("talking", [True, False])
def test_reading_a_data_set_prints_nothing_and_leaves_datasets_as_it_was(talking, saved, capfd, monkeypatch):
    folder = saved(numbered(range(5)))
    packages = (datasets, huggingface_hub.utils)
    logs = (datasets.logging, huggingface_hub.logging)

    def state():
        bars = [package.are_progress_bars_disabled() for package in packages]
        return bars, [log.get_verbosity() for log in logs], warnings.filters[:]

    def load_from_disk(path):
        warnings.warn("a word of warning", stacklevel=1)
        assert state()[:2] == ([True, True], [logging.ERROR if talking else logging.CRITICAL] * 2)
        for _ in datasets.utils.tqdm(range(3)):
            pass
        return original(path)

    original, at_first = datasets.load_from_disk, state()
    try:
        for package in packages:
            (package.enable_progress_bars if talking else package.disable_progress_bars)()
        for log in logs:
            log.set_verbosity(logging.INFO if talking else logging.CRITICAL)
        before = state()
        monkeypatch.setattr(datasets, "load_from_disk", load_from_disk)
        load_data(folder)
        assert capfd.readouterr() == ("", "") and state() == before
    finally:
        for package, disabled in zip(packages, at_first[0], strict=True):
            (package.disable_progress_bars if disabled else package.enable_progress_bars)()
        for log, level in zip(logs, at_first[1], strict=True):
            log.set_verbosity(level)


# --- hub -------------------------------------------------------------------------------------------------------------


def test_a_name_of_the_hub_is_loaded_with_its_config_and_nothing_else(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub["owner/set", None] = datasets.DatasetDict(train=numbered(range(20)))
    hub["owner/set", "small-1"] = datasets.DatasetDict(train=numbered([3]), test=numbered([4]))
    data = load_data("owner/set", split="test")
    assert set(numbers(data)) == {*range(20)} - {*numbers(load_data("owner/set"))}
    assert data.protocol["data"] == "owner/set"
    assert numbers(load_data("owner/set:small-1", split="test")) == [4]
    assert hub.calls == [("owner/set", None, {})] * 2 + [("owner/set", "small-1", {})]  # no trust_remote_code


def test_a_folder_here_comes_before_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "set").mkdir(parents=True)
    Image.new("L", (8, 8), 5).save(tmp_path / "owner" / "set" / "a.png")
    assert numbers(load_data("owner/set", split="all")) == [5] and not hub.calls


@pytest.mark.parametrize(
    "error",
    [ConnectionError("Couldn't reach 'owner/set' on the Hub"), FileNotFoundError("Dataset doesn't exist\nor is gated"),
     RuntimeError("Dataset scripts are no longer supported"), ValueError("Config name is missing.\nPick one"),
     OSError()],
)  # fmt: skip
def test_a_download_that_fails_is_one_line_that_says_what_to_do(error, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub["owner/set", None] = error
    with pytest.raises(FileNotFoundError, match=r"no data at 'owner/set': expected .* gave \w+.*; check the") as caught:
        load_data("owner/set")
    assert "\n" not in str(caught.value) and str(error).split("\n")[0] in str(caught.value)


@pytest.mark.parametrize(
    "path", ["digts", "./photos", "../photos/x", "/no/such/folder", "data/train/cats", "data/train.npz", "data/x.zip",
             "~/photos", "a\\b", "owner/", "owner/.hidden", "owner/set:", "owner/se t"]
)  # fmt: skip
def test_what_is_evidently_a_path_never_goes_to_the_network(path, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no data at .*: expected a folder of images"):
        load_data(path)
    assert not hub.calls


def test_a_slip_in_the_name_of_a_folder_here_never_goes_to_the_network(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "photos").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="did you mean 'data/photos'"):
        load_data("data/photso")
    assert not hub.calls


def test_pictures_that_a_data_set_only_points_at_are_read_where_they_are(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8), 7).save(tmp_path / "7.png")
    rows = {"image": [{"bytes": None, "path": str(tmp_path / "7.png")}]}
    features = datasets.Features({"image": datasets.Image()})
    hub["owner/set", None] = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows, features=features))
    assert numbers(load_data("owner/set", split="all")) == [7]


@pytest.mark.parametrize("name", ["owner/set", "o-w.n_er/S.e-t_1", "owner/cifar10.1", "owner/set:config", "a/b:c-1.0"])
def test_names_of_the_hub_are_known(name):
    assert is_hub_name(name)


def test_a_data_set_of_the_hub_makes_pairs_too(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config, values in (("clean", range(20)), ("noisy", range(100, 120))):
        hub["owner/set", config] = datasets.DatasetDict(train=numbered(values))
    data = load_data("owner/set:clean", paired_data="owner/set:noisy")
    assert (data.params["endpoint"].int() - data.images.int()).unique().tolist() == [100]


def test_without_the_package_it_is_said_what_to_install(saved, tmp_path, monkeypatch):
    folder = saved(numbered(range(3)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    for source in (folder, "owner/set"):
        with pytest.raises(ModuleNotFoundError, match=r'needs datasets: pip install "colddiff\[datasets\]"'):
            load_data(source)


def test_reading_folders_does_not_import_it(tmp_path, monkeypatch):
    Image.new("L", (8, 8), 5).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert numbers(load_data(tmp_path, split="all")) == [5]
