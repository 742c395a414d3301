"""Images from wherever a user has them, as one 8-bit tensor in memory with a held-out split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .embedded import EMBEDDED
from .pictures import UNREADABLE, fit, fit_tensor, how_fitted, read_image, to_tensor
from .registry import suggestion
from .splits import ARRAY_SUFFIXES, SPLITS, held_out, locate

LARGEST_BAD_SHARE = 0.1  # of unreadable files that are left out with a warning; above it, an error


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
        split: "train", "test", "validation", "held_out" or "all". Where the data set brings no split, 10% are held
            out, always the same, and called test. Where it brings one of test and validation, it is "test", and
            where it brings both, "held_out" is validation. The protocol names what was taken.
        size: side of the square images in pixels, >= 1, of which the short side of a picture is resized to it and
            the centre cut out; None keeps them as they are, if they are all alike.

    Returns:
        Images (N, C, H, W), all of them in memory: N C H W bytes.

    Raises:
        FileNotFoundError: no such data. LookupError: no such split. ValueError: images that cannot be used, or a
        size < 1. ModuleNotFoundError: parquet without pyarrow.
    """
    known = (*SPLITS, "held_out", "all")
    if split not in known:
        raise LookupError(f"no split is named {split!r}{suggestion(split, known)}; known: {', '.join(known)}")
    if size is not None and size < 1:
        raise ValueError(f"image size must be >= 1 pixel, got {size}")
    protocol: dict[str, Any] = {"data": str(source), "split": split}
    if str(source) in EMBEDDED:
        protocol["split"] = "test" if split == "held_out" else split
        images, how = EMBEDDED[str(source)](split, size)
    else:
        images, how, protocol["split"] = _from_files(Path(source), split, size)
    if not len(images):
        raise ValueError(f"{str(source)!r} has no images in split {split!r}: one image cannot be held out of one")
    protocol |= {"size": list(images.shape[2:]), "channels": images.shape[1], "resize": how, "images": len(images)}
    return ImageData(images, protocol)


def _from_files(path: Path, split: str, size: int | None) -> tuple[Tensor, str, str]:
    """The images, how they were resized, and the split they are."""
    if not path.exists():
        near = [str(p) for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"no data at {str(path)!r}{suggestion(str(path), [*EMBEDDED, *near])}: expected a folder of images, a "
            f".parquet, .npy or .npz file, or one of {', '.join(EMBEDDED)}"
        )
    files, found, whole = locate(path, split)
    suffix = files[0].suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        images, how = _joined([_read_array(f) for f in files], size, path)
    else:
        images, how = _stacked(_parquet_images(files) if suffix == ".parquet" else _folder_images(files), size, path)
    return (images[held_out(len(images), split)] if whole else images), how, found


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
    return torch.stack([to_tensor(image) for image in images]), "none" if size is None else how_fitted(size)


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
        arrays = [torch.stack([fit_tensor(picture, size) for picture in array]) for array in arrays]
        how = how_fitted(size)
    if len({a.shape[1:] for a in arrays}) > 1:
        raise ValueError(f"the arrays in {str(path)!r} differ in size or channels: {[tuple(a.shape) for a in arrays]}")
    return torch.cat(arrays), how
