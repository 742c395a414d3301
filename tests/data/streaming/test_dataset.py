"""Data larger than memory are read row by row: the same rows in the same order, whoever reads them."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support.archives import archive, numbered, png
from support.image_folders import numbers as in_memory
from support.image_folders import parquet, pictures
from support.streaming import everything, numbers

from colddiff.data import ImageData, huggingface, load_data
from colddiff.data.splits import is_held_out
from colddiff.data.streaming import dataset, webdataset
from colddiff.data.streaming import parquet as parquet_module
from colddiff.data.streaming.dataset import stream_data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """250 pictures in tar files of many lengths."""
    monkeypatch.setattr(webdataset, "BLOCK", 8)
    first = 0
    for k, length in enumerate((40, 1, 0, 90, 64, 55)):
        numbered(tmp_path / f"{k}.tar", range(first, first + length))
        first += length
    return tmp_path


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_picture_is_read_once_in_an_epoch_however_many_read_and_resume(processes, workers, folder):
    share = 8 // processes

    def one(rank: int, steps: range) -> dict[int, int]:
        """What a process reads of the positions of these steps, by threads of its own stream."""
        data = stream_data(folder, split="all")
        order = data.order(0, 0)
        starts = [8 * step + share * rank for step in steps]
        with ThreadPoolExecutor(workers) as pool:
            read = [*pool.map(lambda p: numbers(data[order[p : p + share]]), starts)]
        return {p: n for start, images in zip(starts, read, strict=True) for p, n in enumerate(images, start)}

    def ranks(first: int, last: int) -> list[int]:
        found = [item for rank in range(processes) for item in one(rank, range(first, last)).items()]
        return [n for _, n in sorted(found)]

    whole = stream_data(folder, split="all")
    sequence = numbers(whole[whole.order(0, 0)])
    assert sorted(sequence) == list(range(250))
    assert ranks(0, 13) + ranks(13, 32) == sequence


def test_an_order_depends_on_seed_and_epoch_only(folder):
    data, again = (stream_data(folder, size=size) for size in (8, 4))
    assert data.order(0, 3).equal(again.order(0, 3))
    orders = [data.order(seed, epoch).tolist() for seed, epoch in ((0, 3), (0, 4), (1, 3))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(len(data)))


def test_rows_are_images_like_those_in_memory(folder):
    data = stream_data(folder, split="all")
    assert data.shape == (1, 8, 8) and len(data) == 250 and data.params_at(slice(0, 2)) == {}
    rows = torch.tensor([249, 3, 3])
    assert data[rows].shape == (3, 1, 8, 8) and data[rows].dtype == torch.float32 and 0 <= data[rows].max() <= 1
    assert numbers(data[rows]) == [249, 3, 3] and numbers(data[10:12]) == [10, 11] and len(data[248:300]) == 2


def test_what_is_held_out_is_never_trained_on_and_nothing_is_lost(folder):
    train, test = stream_data(folder), stream_data(folder, split="test")
    held = train.held_out(1000)
    assert sorted(everything(train) + everything(test)) == list(range(250))
    assert in_memory(held) == sorted(everything(test)) == in_memory(test.held_out(1000))
    assert 10 < len(held) < 50 and held.protocol["split"] == "test"
    names = [f"{k} {n:06d}" for k, first, last in ((0, 0, 40), (1, 40, 41), (3, 41, 131)) for n in range(first, last)]
    assert [n for n in range(131) if is_held_out(names[n])] == [n for n in in_memory(held) if n < 131]


def test_splits_that_the_data_bring_are_used(tmp_path):
    for name, values in (
        ("x-train-0", range(5)),
        ("x-train-1", range(5, 9)),
        ("x-val-0", [20]),
        ("x-test-0", [30, 31]),
    ):
        numbered(tmp_path / f"{name}.tar", values)
    data = stream_data(tmp_path)
    assert everything(data) == list(range(9)) and in_memory(data.held_out(9)) == [20]
    assert everything(stream_data(tmp_path, split="test")) == [30, 31]
    held = stream_data(tmp_path, split="held_out")
    assert data.held_out(9).protocol == held.protocol != data.protocol and held.protocol["split"] == "val"
    assert everything(stream_data(tmp_path / "x-train-{0..1}.tar", split="all")) == list(range(9))
    with pytest.raises(LookupError, match="no split 'train'; it has test"):
        stream_data(tmp_path / "x-test-0.tar")


def test_a_split_without_images_is_told(tmp_path):
    data = stream_data(numbered(tmp_path / "x.tar", [3]))
    with pytest.raises(ValueError, match=r"x.tar' has no images in split 'test'"):
        data.held_out(5)
    with pytest.raises(LookupError, match=r"no split is named 'trian' \(did you mean 'train'\?\)"):
        stream_data(tmp_path, split="trian")


def test_parquet_is_split_and_read_as_load_data_does(tmp_path):
    pytest.importorskip("pyarrow")
    parquet(tmp_path / "train-0.parquet", range(90))
    parquet(tmp_path / "train-1.parquet", range(90, 120))
    for split in ("train", "test", "all"):
        data, loaded = stream_data(tmp_path, split=split), load_data(tmp_path, split=split)
        assert data[:].equal(loaded[:]) and data.protocol["framing"] == loaded.protocol["framing"]
    data = stream_data(tmp_path)
    assert in_memory(data.held_out(99)) == in_memory(load_data(tmp_path, split="held_out"))
    assert sorted(numbers(data[data.order(0, 0)])) == sorted(everything(data))
    parquet(tmp_path / "test-0.parquet", [200])
    assert in_memory(stream_data(tmp_path).held_out(9)) == [200]


def test_a_part_is_spread_evenly_and_told_as_images_in_memory_are(folder):
    data = stream_data(folder, split="all")
    part = data.part(10)
    assert isinstance(part, ImageData) and in_memory(part) == list(range(0, 250, 25))
    assert part.protocol == data.protocol | {"images": 10} and data.protocol["images"] == 250
    told = load_data(pictures(folder / "files", mode="L"), split="all").protocol
    assert told.keys() == data.protocol.keys() - {"index"}
    assert len(data.part(10_000)) == 250
    with pytest.raises(ValueError, match="expected at least 1 image, got 0"):
        data.part(0)


def test_a_size_is_needed_where_pictures_differ_and_decided_where_they_do_not(tmp_path):
    shapes = [(8, 8), (12, 8)]
    file = archive(tmp_path / "x.tar", {f"{i}.png": png(i, shape) for i, shape in enumerate(shapes * 5)})
    with pytest.raises(ValueError, match="differ in size: give one"):
        stream_data(file, split="all")
    data = stream_data(file, split="all", size=4)
    assert data.shape == (1, 4, 4) and data.framing.size == 4 and data.protocol["resize"].startswith("short side to 4")
    assert everything(data) == list(range(10))
    flat = archive(tmp_path / "flat.tar", {f"{i}.png": png(i, (12, 8)) for i in range(3)})
    assert stream_data(flat, split="all").shape == (1, 8, 12)


def test_colour_is_decided_once_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "LOOKED_AT", 2)
    content = {f"{i}.png": png(i, mode="RGB" if i == 1 else "L") for i in range(4)}
    file = archive(tmp_path / "x.tar", content)
    grey = stream_data(file, split="all")
    assert grey.shape[0] == 1 and grey.framing.colour == "grey" and everything(grey) == [0, 1, 2, 3]
    monkeypatch.setattr(dataset, "LOOKED_AT", 4)
    rgb = stream_data(file, split="all")
    assert rgb.shape[0] == 3 and rgb.framing.colour == "rgb" and rgb[:].shape == (4, 3, 8, 8)
    assert stream_data(file, split="all", colour="grey").shape[0] == 1


def spoiled(file, broken, n=200):
    """n pictures, some of which are broken."""
    return archive(file, {f"{i:03d}.png": b"broken" if i in broken else png(i) for i in range(n)})


def test_for_a_broken_picture_stands_a_neighbour_and_it_is_said_once(tmp_path):
    file = spoiled(tmp_path / "x.tar", {3, 4, 199})
    data = stream_data(file, split="all")
    with pytest.warns(UserWarning) as told:
        assert numbers(data[torch.tensor([2, 3, 4, 5, 199])]) == [2, 5, 5, 5, 0]
        assert numbers(data[3:5]) == [5, 5]
    assert [str(w.message) for w in told] == [
        f"another image of {str(file)!r} stands in for one that is unreadable: x.tar: {name}.png (empty, or of no "
        "format that Pillow knows)" for name in ("003", "004", "199")
    ]  # fmt: skip
    again = stream_data(file, split="all")
    with pytest.warns(UserWarning, match="unreadable"), ThreadPoolExecutor(4) as pool:
        assert [numbers(image) for image in pool.map(lambda row: again[row : row + 1], (199, 4, 3))] == [[0], [5], [5]]


def test_what_is_broken_is_told_also_while_others_read(tmp_path):
    data = stream_data(spoiled(tmp_path / "x.tar", {3}), split="all")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")  # as while Pillow reads
        _ = data[3:4]
    assert len(told) == 1


def test_too_many_broken_pictures_are_told_once_and_end_nothing_that_has_begun(tmp_path, recwarn):
    file = spoiled(tmp_path / "x.tar", range(20, 60))
    data = stream_data(file, split="all", max_unreadable=0.25)
    assert len(data[torch.arange(20, 60).repeat(5)]) == 200  # as a process that is resumed may meet them
    told = [str(w.message) for w in recwarn]
    assert len([line for line in told if "stands in for one" in line]) == 20  # names
    (share,) = [line for line in told if "max_unreadable" in line]
    assert share.startswith(f"100 of the 100 images read from {str(file)!r} are unreadable, more than the 25%")
    with pytest.raises(ValueError, match=r"40 of 200 images in '.*x.tar' are unreadable, and at most 10% may be"):
        stream_data(file, split="all")
    with pytest.raises(ValueError, match=r"max_unreadable must be in \[0, 1\]"):
        stream_data(file, max_unreadable=2)


def test_within_a_broken_stretch_pictures_from_elsewhere_stand_in_the_same_for_whoever_reads(
    tmp_path, monkeypatch, recwarn
):
    file = spoiled(tmp_path / "x.tar", range(20, 180))
    data, again = (stream_data(file, split="all", max_unreadable=1) for _ in range(2))
    read: list[int] = []
    monkeypatch.setattr(
        type(data.shards), "raw", lambda self, row, raw=webdataset.Tars.raw: read.append(row) or raw(self, row)
    )
    stood_in = numbers(data[20:170])
    assert len(read) < 150 * 25 and len({*stood_in}) > 30
    assert [numbers(again[row : row + 1])[0] for row in reversed(range(20, 170))] == stood_in[::-1]
    assert numbers(data[172:173]) == [180]


def test_a_search_for_another_picture_has_an_end_and_leaves_out_none_of_few(tmp_path, monkeypatch, recwarn):
    few = stream_data(spoiled(tmp_path / "few.tar", set(range(100)) - {7}, 100), split="all", max_unreadable=1)
    assert numbers(few[8:9]) == [7]
    data = stream_data(spoiled(tmp_path / "x.tar", set(range(50, 200))), split="all", max_unreadable=1)
    monkeypatch.setattr(dataset, "_framed", lambda *_: float("nothing"))
    assert numbers(data[:0]) == []
    with pytest.raises(ValueError, match=r"100 images from all over '.*x.tar' are unreadable, as x.tar: 060"):
        _ = data[60:61]


def test_a_picture_of_another_size_is_broken_where_none_was_given(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "LOOKED_AT", 2)
    file = archive(tmp_path / "x.tar", {f"{i}.png": png(i, (9, 8) if i == 1 else (8, 8)) for i in range(4)})
    data = stream_data(file, split="all")
    with pytest.warns(UserWarning, match=r"1.png \(it is 8 x 9 pixels, others are 8 x 8: give an image size\)"):
        assert everything(data) == [0, 2, 2, 3]


def test_a_part_leaves_out_what_is_broken(tmp_path):
    data = stream_data(spoiled(tmp_path / "x.tar", {3}), split="all")
    with pytest.warns(UserWarning, match=r"left out 1 of 200 images in '.*x.tar': x.tar: 003.png"):
        assert len(data.part(1000)) == 199


@pytest.mark.parametrize(
    ("make", "match"),
    [(lambda p: pictures(p), "holds no .tar or .parquet shards, and nothing else can be streamed"),
     (lambda p: p / "nowhere", "no data at '.*nowhere': expected a folder of .tar or .parquet shards"),
     (lambda p: "digits", "'digits' is in memory as it is"),
     (lambda p: numbered(p / "a b.tar", []), "has no images in split 'train'")],
)  # fmt: skip
def test_what_cannot_be_streamed_is_told(make, match, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        stream_data(make(tmp_path))


def test_what_datasets_saved_to_disk_is_no_stream(tmp_path):
    for name in ("dataset_info.json", "state.json", "data.arrow"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"holds no .tar or .parquet shards, and nothing else can be streamed"):
        stream_data(tmp_path)


def test_tiles_are_refused(folder):
    with pytest.raises(ValueError, match="one image per picture: give fit"):
        stream_data(folder, size=4, resize_mode="tiles")


@pytest.fixture
def builder(monkeypatch, tmp_path):
    """What datasets finds on the hub, by name and config."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    found = {}

    class Builder:
        def __init__(self, files):
            self.config = type("Config", (), {"data_files": files})

    def load_dataset_builder(path, name=None):
        value = found[path, name]
        if isinstance(value, Exception):
            raise value
        return Builder(value)

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    return found


def test_the_files_of_a_data_set_are_asked_for_and_not_downloaded(builder):
    builder["owner/set", "small"] = {"train": ["hf://datasets/owner/set@1/a.parquet"], "test": []}
    assert parquet_module.hub_files("owner/set:small") == {"train": ["hf://datasets/owner/set@1/a.parquet"], "test": []}


def test_other_files_of_the_hub_are_told(builder):
    for files in ({"train": ["hf://datasets/owner/set/a.tar"]}, None, {}):
        builder["owner/set", None] = files
        with pytest.raises(
            ValueError, match=r"'owner/set' cannot be streamed from the hub: expected parquet files, it"
        ):
            stream_data("owner/set")


def test_a_hub_that_does_not_answer_is_one_line(builder):
    builder["owner/set", None] = ConnectionError("no route\nat all")
    with pytest.raises(FileNotFoundError, match=r"no data at 'owner/set': .* gave ConnectionError: no route; check"):
        stream_data("owner/set")


def test_a_slip_in_the_name_of_a_folder_never_goes_to_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "hub_files", lambda name: pytest.fail("asked the hub"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "shards").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="did you mean 'data/shards'"):
        stream_data("data/shrads")


def test_hub_names_are_those_of_load_data():
    assert dataset.is_hub_name is huggingface.is_hub_name
