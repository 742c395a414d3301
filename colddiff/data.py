"""Images from wherever a user has them, as one 8-bit tensor in memory with a held-out split."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from .registry import suggestion

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
ARRAY_SUFFIXES = {".npy", ".npz"}
TABLE_SUFFIXES = {".parquet", *ARRAY_SUFFIXES}
HELD_OUT_NAMES = ("test", "validation", "valid", "val")
SPLITS = ("train", *HELD_OUT_NAMES)
HELD_OUT = 0.1  # share of the images that are the test split where a data set brings none
LARGEST_BAD_SHARE = 0.1  # of unreadable files that are left out with a warning; above it, an error
# What Pillow's readers raise on broken files.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class ImageData:
    """Images of one size.

    Args:
        images: (N, C, H, W) uint8.
        protocol: how they were made: data, split, size, resize, number; for reports and the run's config.
    """

    images: Tensor
    protocol: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Float32 images in [0, 1]."""
        return self.images[index].float() / 255


def load_data(source: str | Path, *, split: str = "train", size: int | None = None) -> ImageData:
    """The images of a data set.

    Args:
        source: "digits", "photos", a folder of images, a parquet file or folder in the Hugging Face layout, or an
            array file (.npy, .npz: (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1]).
        split: "train", "test", or "all"; where the data set brings no split, 10% are held out, always the same, and
            where it brings train and validation only, "test" is validation. The protocol names what was taken.
        size: side of the square images; None keeps them as they are, if they are all alike.

    Raises:
        FileNotFoundError, LookupError: no such data or split. ValueError: images that cannot be used.
    """
    if split not in (*SPLITS, "all"):
        raise LookupError(f"no split is named {split!r}{suggestion(split, SPLITS)}; known: {', '.join(SPLITS)}, all")
    if size is not None and size < 1:
        raise ValueError(f"image size must be >= 1 pixel, got {size}")
    protocol: dict[str, Any] = {"data": str(source), "split": split}
    if str(source) in EMBEDDED:
        images, how = EMBEDDED[str(source)](split, size)
    else:
        images, how, protocol["split"] = _from_files(Path(source), split, size)
    if not len(images):
        raise ValueError(f"{str(source)!r} has no images in split {split!r}: one image cannot be held out of one")
    protocol |= {"size": list(images.shape[2:]), "channels": images.shape[1], "resize": how, "images": len(images)}
    return ImageData(images, protocol)


def read_image(file: str | Path | BytesIO) -> Image.Image:
    """An image as mode L or RGB: upright, palettes resolved, transparency over white, 16-bit grey scaled to 8."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            return Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            colour = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
        return image.convert("L" if image.mode in ("1", "L") else "RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """(C, H, W) uint8."""
    array = torch.from_numpy(np.array(image))
    return array[None] if array.dim() == 2 else array.permute(2, 0, 1)


def fit(image: Image.Image, size: int) -> Image.Image:
    """The short side resized to `size` (bilinear, Pillow), then the centre square."""
    scale = size / min(image.size)
    target = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
    resized = image if image.size == target else image.resize(target, Image.Resampling.BILINEAR)
    left, top = (target[0] - size) // 2, (target[1] - size) // 2
    return resized.crop((left, top, left + size, top + size))


def held_out(n: int, split: str) -> Tensor:
    """Which of n images belong to the split where a data set brings none: the same 10% every time."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    count = max(1, round(n * HELD_OUT))
    if split == "all":
        return torch.arange(n)
    return (order[count:] if split == "train" else order[:count]).sort().values


# --- embedded sets ---------------------------------------------------------------------------------------------------


def _digits(split: str, size: int | None) -> tuple[Tensor, str]:
    from sklearn.datasets import load_digits

    grey = torch.from_numpy(load_digits().images)
    pixels = (grey * (255 / 16)).round().to(torch.uint8)[:, None]
    pixels = pixels[held_out(len(pixels), split)]
    if size in (None, 8):
        return pixels, "none"
    return torch.stack([_fitted(p, size) for p in pixels]), _how(size)


def _photos(split: str, size: int | None) -> tuple[Tensor, str]:
    """Crops at scales 1, 1/2 and 1/4: for training from the left four fifths of each photograph, else from the rest."""
    from skimage import data as bundled
    from sklearn.datasets import load_sample_image

    side = size or 32
    photographs = [getattr(bundled, name)() for name in ("astronaut", "cat", "coffee", "rocket")]
    photographs += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    crops = []
    for array in photographs:
        whole = Image.fromarray(np.asarray(array))
        # Cut before resizing, or the box filter mixes the two sides of the cut.
        edge = whole.width * 4 // 5
        left, right = {"train": (0, edge), "all": (0, whole.width)}.get(split, (edge, whole.width))
        part = whole.crop((left, 0, right, whole.height))
        step = max(side // 2, 1) if split in ("train", "all") else side
        for scale in (1, 2, 4):
            photo = part.resize((part.width // scale, part.height // scale), Image.Resampling.BOX)
            for y in range(0, photo.height - side + 1, step):
                for x in range(0, photo.width - side + 1, step):
                    crops.append(to_tensor(photo.crop((x, y, x + side, y + side))))
    if not crops:
        raise ValueError(
            f"the bundled photographs have no crops of {side} pixels in split {split!r}: use a smaller size"
        )
    return torch.stack(crops), f"crops of {side} px at scales 1, 1/2, 1/4 (box filter)"


EMBEDDED: dict[str, Callable[[str, int | None], tuple[Tensor, str]]] = {"digits": _digits, "photos": _photos}


# --- files -----------------------------------------------------------------------------------------------------------


def _from_files(path: Path, split: str, size: int | None) -> tuple[Tensor, str, str]:
    """The images, how they were resized, and the split they are."""
    if not path.exists():
        near = [str(p) for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"no data at {str(path)!r}{suggestion(str(path), [*EMBEDDED, *near])}: expected a folder of images, a "
            f".parquet, .npy or .npz file, or one of {', '.join(EMBEDDED)}"
        )
    files, found, whole = _locate(path, split)
    suffix = files[0].suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        images, how = _joined([_read_array(f) for f in files], size, path)
    else:
        images, how = _stacked(_parquet_images(files) if suffix == ".parquet" else _folder_images(files), size, path)
    return (images[held_out(len(images), split)] if whole else images), how, found


def _locate(path: Path, split: str) -> tuple[list[Path], str, bool]:
    """The files of a split, its name in the data set, and whether they are the whole that it is to be cut from."""
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES | IMAGE_SUFFIXES:
            raise ValueError(f"cannot read {path.name!r} as data: expected .parquet, .npy, .npz or a folder of images")
        own = _split_of(path, path.parent)
        beside = [f for f in sorted(path.parent.iterdir()) if f.suffix.lower() == suffix]
        splits = {own: [path]} if own is None or split == "all" else _splits(beside, path.parent) | {own: [path]}
    else:
        splits = _splits(_below(path), path)
    if split == "all":
        return [f for files in splits.values() for f in files], split, False
    for name in HELD_OUT_NAMES if split == "test" else (split,):
        if name in splits:
            return splits[name], name, splits.keys() == {"train"}
    if splits.keys() <= {None, "train"}:
        (files,) = splits.values()
        return files, split, True
    raise LookupError(f"{str(path)!r} has no split {split!r}; it has {', '.join(map(str, splits))}")


def _splits(files: Iterable[Path], root: Path) -> dict[str | None, list[Path]]:
    """Files by the split they belong to; those of none only where nothing else is there."""
    found: dict[str | None, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file, root), []).append(file)
    return {name: group for name, group in found.items() if name is not None} or found


def _split_of(file: Path, root: Path) -> str | None:
    """The split that a folder below root tells (test/3.png), or a table's name (test-00000-of-00001.parquet)."""
    told = [part.lower() for part in file.relative_to(root).parts[:-1]]
    if file.suffix.lower() in TABLE_SUFFIXES:
        told.append(re.split("[-_.]", file.stem.lower())[0])
    return next((name for name in told if name in SPLITS), None)


def _below(folder: Path) -> list[Path]:
    """The data files below a folder, of one kind: tables or arrays where there are any, else images; none hidden."""
    files = [f for f in sorted(folder.rglob("*")) if not any(p.startswith(".") for p in f.relative_to(folder).parts)]
    for suffixes in ({".parquet"}, ARRAY_SUFFIXES, IMAGE_SUFFIXES):
        kind = [f for f in files if f.suffix.lower() in suffixes and f.is_file()]
        if kind:
            return kind
    raise FileNotFoundError(f"no images, .parquet, .npy or .npz files in {str(folder)!r}")


def _folder_images(files: list[Path]) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    for file in files:
        yield str(file), lambda file=file: read_image(file)  # type: ignore[misc]


def _parquet_images(files: list[Path]) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ModuleNotFoundError('reading parquet needs pyarrow: pip install "colddiff[parquet]"') from None
    for file in files:
        try:
            table = pq.ParquetFile(file)
        except (OSError, ValueError) as error:
            raise ValueError(f"{str(file)!r} is not a readable parquet file: {error}") from None
        with table:
            columns = [
                c.name
                for c in table.schema_arrow
                if pa.types.is_struct(c.type) and c.type.get_field_index("bytes") >= 0
            ]
            if not columns:
                raise ValueError(
                    f"{str(file)!r} has no column of encoded images, a struct with bytes as the hub writes it"
                )
            row = 0
            for batch in table.iter_batches(columns=columns[:1]):
                for value in batch.column(0).to_pylist():
                    data = (value or {}).get("bytes") or b""
                    yield f"{file.name} row {row}", lambda data=data: read_image(BytesIO(data))  # type: ignore[misc]
                    row += 1


def _stacked(
    found: Iterable[tuple[str, Callable[[], Image.Image]]], size: int | None, path: Path
) -> tuple[Tensor, str]:
    """Decode, resize and stack; unreadable images are left out and named."""
    images: list[Image.Image] = []
    bad: list[str] = []
    for name, read in tqdm(found, desc=f"reading {path.name}", unit=" images", leave=False, disable=None, delay=1):
        try:
            image = read()
        except UNREADABLE as error:
            bad.append(f"{name} ({error})")
            continue
        images.append(image if size is None else fit(image, size))
    if not images or len(bad) > LARGEST_BAD_SHARE * (len(images) + len(bad)):
        raise ValueError(f"{len(bad)} of {len(images) + len(bad)} images in {str(path)!r} are unreadable: {bad[:3]}")
    if bad:
        warnings.warn(f"left out {len(bad)} unreadable images: {', '.join(bad[:5])}", stacklevel=2)
    if len({image.size for image in images}) > 1:
        raise ValueError(f"the images in {str(path)!r} differ in size: give one, e.g. --image-size 64")
    if len({image.mode for image in images}) > 1:
        images = [image.convert("RGB") for image in images]
    return torch.stack([to_tensor(image) for image in images]), "none" if size is None else _how(size)


def _read_array(file: Path) -> Tensor:
    """(N, C, H, W) uint8."""
    try:
        array = _images_in(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"cannot read {str(file)!r} as arrays: {error}") from None
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(f"expected (N, H, W), (N, H, W, C) or (N, C, H, W) in {str(file)!r}, got {array.shape}")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{str(file)!r} must hold uint8, or floats in [0, 1]; got {array.dtype}")
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # not so for NaN either
            raise ValueError(f"floats in {str(file)!r} must be in [0, 1], got {low:g} to {high:g}")
        array = (array * 255.0).round().astype(np.uint8)
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.dim() == 3:
        return tensor[:, None]
    channels_last = tensor.shape[-1] <= 4 < tensor.shape[1]
    return tensor.permute(0, 3, 1, 2) if channels_last else tensor


def _images_in(file: Path) -> np.ndarray[Any, Any]:
    """The array in a .npy file; of those in a .npz file `images`, `x`, or the first that could be images."""
    with file.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        for name in dict.fromkeys(("images", "x", *loaded.files)):
            if name in loaded.files and loaded[name].ndim in (3, 4):
                found: np.ndarray[Any, Any] = loaded[name]
                return found
    raise ValueError(f"it holds no array of images, only {', '.join(loaded.files)}")


def _joined(arrays: list[Tensor], size: int | None, path: Path) -> tuple[Tensor, str]:
    """One tensor of several, resized where they have another size."""
    how = "none"
    if size is not None and any(tuple(a.shape[2:]) != (size, size) for a in arrays):
        arrays = [torch.stack([_fitted(picture, size) for picture in array]) for array in arrays]
        how = _how(size)
    if len({a.shape[1:] for a in arrays}) > 1:
        raise ValueError(f"the arrays in {str(path)!r} differ in size or channels: {[tuple(a.shape) for a in arrays]}")
    return torch.cat(arrays), how


def _fitted(picture: Tensor, size: int) -> Tensor:
    """`fit` for (C, H, W) uint8 of any number of channels."""
    return torch.cat([to_tensor(fit(Image.fromarray(channel.numpy()), size)) for channel in picture])


def _how(size: int) -> str:
    return f"short side to {size} px (bilinear, Pillow), centre crop, 8 bits"
