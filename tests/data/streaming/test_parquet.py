"""Tables of pictures, here and far away, read a row group at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from support.image_folders import numbers as in_memory
from support.image_folders import parquet
from support.streaming import everything, numbers

from colddiff.data.splits import is_held_out
from colddiff.data.streaming import dataset
from colddiff.data.streaming import parquet as parquet_module
from colddiff.data.streaming.dataset import stream_data


@pytest.fixture
def remote(monkeypatch):
    """A data set of the hub: parquet files behind addresses, in two splits."""
    pytest.importorskip("pyarrow")
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr("colddiff.data.streaming.shards.PAUSES", (0.0, 0.0))

    def put(file, values, tmp_path):
        parquet(tmp_path / file, values)
        memory.pipe(f"/hub/{file}", (tmp_path / file).read_bytes())
        return f"memory://hub/{file}"

    yield put
    memory.rm("/hub", recursive=True)


def test_a_data_set_of_the_hub_is_read_where_it_is(remote, tmp_path, monkeypatch):
    files = {"train": [remote(f"{k}.parquet", range(40 * k, 40 * k + 40), tmp_path) for k in range(3)]}
    monkeypatch.setattr(dataset, "hub_files", lambda name: files)
    monkeypatch.chdir(tmp_path)
    data = stream_data("owner/set")
    held = in_memory(data.held_out(99))
    assert sorted(everything(data) + held) == list(range(120))
    assert held == [row for row in range(120) if is_held_out(f" {row}")]  # as when it is downloaded
    files["test"] = [remote("t.parquet", [200, 201], tmp_path)]
    assert in_memory(stream_data("owner/set").held_out(9)) == [200, 201]


def test_what_is_far_away_is_asked_for_again_and_then_named(remote, tmp_path, monkeypatch):
    address, opened, failing = remote("x.parquet", range(8), tmp_path), parquet_module._opened, []

    def unsteady(file):
        if failing:
            raise failing.pop()
        return opened(file)

    monkeypatch.setattr(dataset, "hub_files", lambda name: {"train": [address]})
    monkeypatch.chdir(tmp_path)
    data = stream_data("owner/set", split="all")
    data.shards.recent.kept.clear()
    monkeypatch.setattr(parquet_module, "_opened", unsteady)
    failing += [ConnectionError("reset"), RuntimeError("the hub is busy")]
    assert everything(data) == list(range(8)) and not failing
    data.shards.recent.kept.clear()
    failing += [ConnectionError("reset\nby peer")] * 3
    with pytest.raises(
        OSError, match=r"the shard 'memory://hub/x.parquet' cannot be read \(reset\): restore it, and go"
    ):
        _ = data[:]


def test_what_is_not_there_is_not_waited_for(monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("colddiff.data.streaming.shards.PAUSES", (600.0,))
    with pytest.raises(OSError, match=r"the shard 'memory://hub/none.parquet' cannot be read"):
        parquet_module.footer_of("memory://hub/none.parquet")


@pytest.mark.parametrize("missing", [False, True])
def test_parquet_that_is_broken_or_gone_is_named(missing, tmp_path):
    pytest.importorskip("pyarrow")
    file = tmp_path / "x.parquet"
    parquet(file, range(8))
    data = stream_data(file, split="all")
    data.shards.recent.kept.clear()
    if missing:
        file.unlink()
    else:
        parquet(file, range(3))
    with pytest.raises(OSError, match=r"the shard '.*x.parquet' cannot be read \("):
        _ = data[:]
    if not missing:
        file.write_bytes(b"PAR1 and no more PAR1")
        with pytest.raises(ValueError, match=r"x.parquet' is not a readable parquet file"):
            stream_data(file, split="all")


def test_a_table_without_pictures_is_told(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet' has no column of encoded images"):
        stream_data(tmp_path)


def test_missing_pictures_of_a_table_are_broken_ones(tmp_path):
    pytest.importorskip("pyarrow")
    parquet(tmp_path / "x.parquet", [0, None, 2, *range(3, 30)])
    data = stream_data(tmp_path, split="all")
    with pytest.warns(UserWarning, match=r"unreadable: x.parquet row 1 \(empty"):
        assert numbers(data[:3]) == [0, 2, 2]


def test_a_row_group_is_read_once_for_all_who_want_it(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    parquet(tmp_path / "x.parquet", range(16))
    data, opened, read = stream_data(tmp_path, split="all"), parquet_module._opened, []
    data.shards.recent.kept.clear()
    meet = threading.Barrier(4)

    def counted(file):
        read.append(file)
        return opened(file)

    def ask(k):
        meet.wait()
        return numbers(data[k::4])

    monkeypatch.setattr(parquet_module, "_opened", counted)
    with ThreadPoolExecutor(4) as pool:
        assert sorted(chain(*pool.map(ask, range(4)))) == list(range(16))
    assert len(read) == 4  # of four rows
