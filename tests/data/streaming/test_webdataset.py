"""Pictures in tar and parquet files are read by position: all of them, nothing else, and never from a torn file."""

import gzip
import io
import os
import tarfile
import threading
from itertools import product
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.archives import archive, numbered, png

from colddiff.data.splits import members
from colddiff.data.streaming import shards as shared
from colddiff.data.streaming import webdataset
from colddiff.data.streaming.shards import HeldOutIndex, LRUCache, block_shuffle, spread
from colddiff.data.streaming.webdataset import index_tars, tar_files, told_split


def indexed(*files: Path):
    return index_tars([*files], files[0].parent, "shards")[0]


def numbers(found) -> list[int]:
    return [Image.open(io.BytesIO(found.raw(row))).getpixel((0, 0)) for row in range(len(found))]


# --- orders ----------------------------------------------------------------------------------------------------------


def blocks(seed: int, weighted: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks of any lengths, some of them empty."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 40, (), generator=generator))
    lengths = torch.randint(0, 300, (count,), generator=generator)
    lengths[0] += 1
    weights = torch.randint(1, 2**26, (count,), generator=generator) * weighted
    return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_an_order_has_every_row_once(seed, weighted):
    bounds, weights = blocks(seed, weighted)
    order = block_shuffle(bounds, weights, torch.Generator().manual_seed(seed))
    assert order.sort().values.tolist() == list(range(int(bounds[-1])))


def test_an_order_stays_within_a_few_blocks_and_shuffles_them(monkeypatch):
    monkeypatch.setattr(shared, "WINDOW", 64)
    bounds = torch.arange(0, 4001, 10)
    order = block_shuffle(bounds, torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(0))
    windows = order[:3950].reshape(-1, 50) // 10
    assert max(len(window.unique()) for window in windows) <= 14  # of two windows of seven blocks
    assert min(len(window.unique()) for window in windows) > 5  # but not one after the other
    assert (windows.double().mean(dim=1) - 200).abs().max() < 190 and windows[0].float().std() > 30  # from everywhere


def test_a_window_is_smaller_where_its_blocks_are_heavy():
    bounds, weights = torch.arange(0, 1001, 10), torch.full((100,), shared.WINDOW_BYTES)
    order = block_shuffle(bounds, weights, torch.Generator().manual_seed(0))
    assert all(len(set(block)) == 1 for block in (order.reshape(100, 10) // 10).tolist())
    assert order.tolist() != sorted(order.tolist())


@pytest.mark.parametrize("limit", [1, 7, 100, 5000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_few_rows_are_different_ones_from_all_over(seed, weighted, limit):
    bounds, weights = blocks(seed, weighted)
    n = int(bounds[-1])
    rows = spread(bounds, weights, limit)
    assert (rows.diff() > 0).all() and rows[0] >= 0 and rows[-1] < n
    assert len(rows) == min(n, limit) or weighted
    assert len(rows) <= limit and (limit < 100 or n < 200 or rows[-1] - rows[0] > n // 2)


def test_a_few_rows_are_read_from_few_blocks_that_are_read_whole():
    bounds = torch.arange(0, 100_001, 100)
    rows = spread(bounds, torch.ones(1000, dtype=torch.int64), 256)
    assert len(rows) == 256 and len((rows // 100).unique()) == shared.FEW_BLOCKS


@pytest.mark.parametrize("count", [1, 2, 3, 17, 400])
def test_sides_that_are_told_one_by_one_are_those_of_all_names_together(count):
    for trial in range(8):
        names, aside = [f"{trial} {i}" for i in range(count)], HeldOutIndex()
        for name in names:
            aside.add(name)
        assert aside.rows().tolist() == members(names, "test")
        assert len(aside.names) in (0, count)


# --- values that were made last --------------------------------------------------------------------------------------


def test_a_value_is_made_once_however_many_ask_and_forgotten_when_there_is_too_much():
    made, meet = [], threading.Barrier(4)

    def make(key):
        made.append(key)
        return torch.zeros(10, dtype=torch.uint8)

    recent = LRUCache(make, 40)

    def ask():
        meet.wait()
        for key in range(4):
            assert recent[key].nbytes == 10

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1, 2, 3]
    for key in (0, 4, 0, 1):
        _ = recent[key]
    assert made[4:] == [4, 1] and [*recent.kept] == [3, 4, 0, 1]


def test_a_value_that_could_not_be_made_is_made_when_it_is_asked_for_again():
    wrong = [OSError("gone")]

    def make(key):
        if wrong:
            raise wrong.pop()
        return torch.zeros(1)

    recent = LRUCache(make, 100)
    with pytest.raises(OSError, match="gone"):
        _ = recent[0]
    assert len(recent[0]) == 1


# --- tar files -------------------------------------------------------------------------------------------------------


def test_every_picture_is_found_by_its_row(tmp_path):
    files = [
        numbered(tmp_path / f"{k}.tar", range(first, last)) for k, first, last in ((0, 0, 7), (1, 7, 7), (2, 7, 9))
    ]
    found = indexed(*files)
    assert numbers(found) == list(range(9))
    assert [found.name(row) for row in (0, 7)] == ["0.tar: 000000.png", "2.tar: 000007.png"]
    assert found.blocks.tolist() == [0, 7, 9]


def test_blocks_are_runs_of_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "BLOCK", 4)
    files = [numbered(tmp_path / f"{k}.tar", range(n)) for k, n in enumerate((9, 4, 0, 1))]
    assert indexed(*files).blocks.tolist() == [0, 4, 8, 9, 13, 14]


def test_the_picture_of_a_sample_is_told_by_its_whole_suffix_first(tmp_path):
    content = {"a/1.seg.png": png(9), "a/1.JPG": png(1), "a/1.json": b"{}", "b/1.seg.png": png(2), "b/2.txt": b"",
               "./c/1.png": png(3), "c/.hidden.png": png(9), "v1.0/x.png": png(4)}  # fmt: skip
    assert numbers(indexed(archive(tmp_path / "x.tar", content))) == [1, 2, 3, 4]


def test_a_name_is_the_same_with_the_folder_that_it_was_packed_from(tmp_path):
    plain, dotted = (
        archive(tmp_path / folder / "x.tar", {f"{dot}{i}.png": png(i) for i in range(60)})
        for folder, dot in (("a", ""), ("b", "./"))
    )
    assert index_tars([plain], plain.parent, "")[1].equal(index_tars([dotted], dotted.parent, "")[1])


def test_an_index_keeps_no_headers(tmp_path, monkeypatch):
    file, opened, kept = numbered(tmp_path / "x.tar", range(50)), tarfile.open, []

    def spied(**options):
        kept.append(opened(**options))
        return kept[-1]

    monkeypatch.setattr(tarfile, "open", spied)
    assert len(indexed(file)) == 50 and [len(tar.members) for tar in kept] == [0]


def test_a_sample_with_several_pictures_is_named(tmp_path):
    file = archive(tmp_path / "x.tar", {"7.input.png": png(1), "7.target.png": png(2)})
    with pytest.raises(
        ValueError, match=r"sample '7' of '.*x.tar' has several pictures, .*: 7.input.png, 7.target.png"
    ):
        indexed(file)


def test_a_picture_of_a_size_that_only_holes_have_is_named_and_never_read(tmp_path):
    def claiming(name):
        claim = tarfile.TarInfo(name)
        claim.size = 6 * 2**30
        content = archive(tmp_path / "x.tar", {"1.png": png(1)}).read_bytes()[: 2 * tarfile.BLOCKSIZE] + claim.tobuf()
        (tmp_path / "x.tar").write_bytes(content)
        os.truncate(tmp_path / "x.tar", len(content) + claim.size + 2 * tarfile.BLOCKSIZE)
        return tmp_path / "x.tar"

    with pytest.raises(
        ValueError, match=r"'2.png' in '.*x.tar' is said to have 6.44 GB, and a picture may have 268 MB"
    ):
        indexed(claiming("2.png"))
    assert len(indexed(claiming("2.bin"))) == 1  # what is no picture is passed over


def test_links_devices_and_sparse_files_are_no_pictures_and_no_name_leads_out(tmp_path):
    def odd(kind):
        info = tarfile.TarInfo(f"{ord(kind)}.png")
        info.type, info.linkname = kind, "../../secret.png"
        return info

    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
             tarfile.GNUTYPE_SPARSE]  # fmt: skip
    assert len(indexed(archive(tmp_path / "odd.tar", map(odd, kinds)))) == 0
    outside = archive(tmp_path / "out.tar", {"../../up.png": png(5), "/root.png": png(6)})
    assert numbers(indexed(outside)) == [5, 6]
    assert {file.name for file in tmp_path.iterdir()} == {"odd.tar", "out.tar"}


def test_long_names_are_read(tmp_path):
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / f"{kind}.tar", "w:", format=kind) as tar:
            for number in range(3):
                info = tarfile.TarInfo(f"{'näme' * 60}/{number}.png")
                info.size = len(png(number))
                tar.addfile(info, io.BytesIO(png(number)))
        assert numbers(indexed(tmp_path / f"{kind}.tar")) == [0, 1, 2]


def test_a_file_that_is_cut_anywhere_is_told_or_has_whole_pictures_to_its_end(tmp_path):
    whole = numbered(tmp_path / "whole.tar", range(4)).read_bytes()
    file = tmp_path / "cut.tar"
    for length in range(0, len(whole), 100):
        file.write_bytes(whole[:length])
        try:
            found = indexed(file)
        except ValueError as error:
            assert "is not a whole plain tar file" in str(error) and "\n" not in str(error)
        else:
            assert length > 8 * 1024 and numbers(found) == [0, 1, 2, 3]  # nothing but the zeros at its end is missing


@pytest.mark.parametrize("spoil", [
    lambda whole: whole[:2048] + b"x" * 512 + whole[2560:],  # a header amid the others
    lambda whole: whole + whole,  # joined: what comes behind the end would go unseen
    lambda whole: b"no tar at all" * 100,
    lambda whole: gzip.compress(whole),
    lambda whole: whole[:124] + b"77777777777\0" + whole[136:],  # a size that the checksum does not fit
])  # fmt: skip
def test_what_is_no_whole_plain_tar_is_told(spoil, tmp_path):
    file = numbered(tmp_path / "x.tar", range(4))
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=r"'.*x.tar' is not a whole plain tar file \(.+\): copy or make it again"):
        indexed(file)


@pytest.mark.parametrize(
    ("kind", "size"),
    [*product((tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE), (2**40, 2**62, -100, -512, -(2**40))),
     (tarfile.GNUTYPE_SPARSE, -512)],
)  # fmt: skip
def test_absurd_sizes_in_headers_are_told(kind, size, tmp_path):
    info = tarfile.TarInfo("x.png")
    info.size, info.type = size, kind
    header = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "x.tar").write_bytes(numbered(tmp_path / "y.tar", [1]).read_bytes()[:2048] + header + bytes(2048))
    with pytest.raises(ValueError, match="is not a whole plain tar file"):
        indexed(tmp_path / "x.tar")


def test_headers_upon_headers_are_told(tmp_path):
    info = tarfile.TarInfo("x.png")
    info.type, info.size = tarfile.XHDTYPE, 0
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) * 3000 + bytes(1024))
    with pytest.raises(ValueError, match="is not a whole plain tar file"):
        indexed(tmp_path / "x.tar")


def test_a_file_that_went_or_shrank_is_named(tmp_path):
    file = numbered(tmp_path / "x.tar", range(4))
    found = indexed(file)
    file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(OSError, match=r"shard '.*x.tar' cannot be read \(it is shorter than it was\): restore it"):
        found.raw(3)
    file.unlink()
    with pytest.raises(OSError, match=r"shard '.*x.tar' cannot be read \(No such file or directory\)"):
        found.raw(0)


def test_a_digest_tells_other_shards(tmp_path):
    files = [numbered(tmp_path / name, range(n)) for name, n in (("a/0.tar", 4), ("b/0.tar", 4), ("c/0.tar", 5))]
    here, elsewhere, longer = (indexed(file).digest for file in files)
    assert here == elsewhere != longer


# --- which tar files -------------------------------------------------------------------------------------------------


def test_patterns_are_expanded_and_all_of_them_must_be_there(tmp_path):
    for name in ("d-08.tar", "d-09.tar", "d-10.tar", "d-11.tar", "d-12.tar"):
        numbered(tmp_path / name, [0])
    found = tar_files(str(tmp_path / "d-{08..11}.tar"))
    assert [file.name for file in found] == ["d-08.tar", "d-09.tar", "d-10.tar", "d-11.tar"]
    with pytest.raises(FileNotFoundError, match=r"2 of 3 shards of '.*d-\{12..14\}.tar' are not there: '.*d-13.tar'"):
        tar_files(str(tmp_path / "d-{12..14}.tar"))
    (tmp_path / "1").mkdir()
    numbered(tmp_path / "1" / "e-0.tar", [0])
    assert tar_files(str(tmp_path / "{1..1}" / "e-{0..0}.tar")) == [tmp_path / "1" / "e-0.tar"]


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar.zst", "x.TAR.XZ"])
def test_compressed_shards_are_refused(name, tmp_path):
    numbered(tmp_path / "a.tar", [0])
    (tmp_path / name).write_bytes(b"")
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(
            ValueError, match=r"is compressed and cannot be read by position: unpack it to a plain .tar"
        ):
            tar_files(str(source))


def test_hidden_files_are_no_shards(tmp_path):
    numbered(tmp_path / "a.tar", [0])
    numbered(tmp_path / "._a.tar", [0])
    numbered(tmp_path / ".cache" / "b.tar", [0])
    assert tar_files(str(tmp_path)) == [tmp_path / "a.tar"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("a.tar", ""), ("train/a.tar", "train"), ("imagenet-Validation-0003.tar", "validation"), ("trainer-1.tar", ""),
     ("test_0.tar", "test")],
)  # fmt: skip
def test_a_folder_or_a_word_tells_the_split_of_a_shard(name, split):
    assert told_split(Path("root") / name, Path("root")) == split
