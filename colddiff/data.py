"""Images from wherever a user has them, as one 8-bit tensor in memory with a held-out split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from .registry import suggestion

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
ARRAY_SUFFIXES = {".npy", ".npz"}
SPLITS = ("train", "test", "validation", "valid", "val")
HELD_OUT = 0.1  # share of the images that are the test split where a data set brings none
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
        split: "train", "test", or "all"; where the data set brings no split, 10% are held out, always the same.
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
        images, how = _from_files(Path(source), split, size)
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
    target = tuple(max(size, round(side * scale)) for side in image.size)
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
    return torch.stack([to_tensor(fit(Image.fromarray(p[0].numpy()), size)) for p in pixels]), _how(size)


def _photos(split: str, size: int | None) -> tuple[Tensor, str]:
    """Crops at scales 1, 1/2 and 1/4: training crops from the left four fifths of each photograph, test crops from
    the rest."""
    from skimage import data as bundled
    from sklearn.datasets import load_sample_image

    side = size or 32
    photographs = [bundled.astronaut(), bundled.cat(), bundled.coffee(), bundled.rocket()]
    photographs += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    crops = []
    for array in photographs:
        whole = Image.fromarray(np.asarray(array))
        for scale in (1, 2, 4):
            photo = whole.resize((whole.width // scale, whole.height // scale), Image.Resampling.BOX)
            edge = photo.width * 4 // 5
            regions = {"train": (0, edge), "all": (0, photo.width)}
            left, right = regions.get(split, (edge, photo.width))
            step = side if split not in ("train", "all") else max(side // 2, 1)
            for y in range(0, photo.height - side + 1, step):
                for x in range(left, right - side + 1, step):
                    crops.append(to_tensor(photo.crop((x, y, x + side, y + side))))
    if not crops:
        raise ValueError(
            f"the bundled photographs have no crops of {side} pixels in split {split!r}: use a smaller size"
        )
    return torch.stack(crops), f"crops of {side} px at scales 1, 1/2, 1/4 (box filter)"


EMBEDDED: dict[str, Callable[[str, int | None], tuple[Tensor, str]]] = {"digits": _digits, "photos": _photos}


# --- files -----------------------------------------------------------------------------------------------------------


def _from_files(path: Path, split: str, size: int | None) -> tuple[Tensor, str]:
    if not path.exists():
        raise FileNotFoundError(
            f"no data at {str(path)!r}{suggestion(str(path), EMBEDDED)}: expected a folder of images, a .parquet, "
            f".npy or .npz file, or one of {', '.join(EMBEDDED)}"
        )
    files, needs_split = _locate(path, split)
    if files[0].suffix in ARRAY_SUFFIXES:
        images, how = _sized(torch.cat([_read_array(f) for f in files]), size)
    else:
        found = _parquet_images(files) if files[0].suffix == ".parquet" else _folder_images(files)
        images, how = _stacked(found, size, path)
    return (images[held_out(len(images), split)] if needs_split else images), how


def _locate(path: Path, split: str) -> tuple[list[Path], bool]:
    """The files of a split, and whether they hold other splits too."""
    if path.is_file():
        if path.suffix not in {".parquet", *ARRAY_SUFFIXES, *IMAGE_SUFFIXES}:
            raise ValueError(f"cannot read {path.name!r} as data: expected .parquet, .npy, .npz or a folder of images")
        own = _split_of(path)
        family = [f for f in sorted(path.parent.iterdir()) if f.suffix == path.suffix and _split_of(f)]
        others = {_split_of(f) for f in family}
        if own is None or split == "all":
            return [path], own is None and split != "all"
        if own == split:
            return [path], own == "train" and len(others) == 1
        siblings = [f for f in family if _split_of(f) == split]
        if siblings:
            return siblings, False
        if own == "train":
            return [path], True
        raise LookupError(f"{str(path)!r} is the {own} split, and there is no {split} file beside it")
    folders = [d for d in sorted(path.iterdir()) if d.is_dir() and d.name in SPLITS]
    if folders:
        chosen = [d for d in folders if split in (d.name, "all")]
        if not chosen:
            raise LookupError(f"{str(path)!r} has no split {split!r}; it has {', '.join(d.name for d in folders)}")
        return _below(chosen), False
    files = _below([path])
    named = [f for f in files if f.suffix in {".parquet", *ARRAY_SUFFIXES} and _split_of(f)]
    if named:
        first = next((f for f in named if _split_of(f) == split), named[0])
        chosen_file, needs_split = _locate(first, split)
        whole = [f for f in named if split == "all" or _split_of(f) == _split_of(chosen_file[0])]
        return whole, needs_split
    return files, split != "all"


def _split_of(path: Path) -> str | None:
    """The split that a file's name tells: `test` for test.parquet and test-00000-of-00001.parquet."""
    head = path.stem.replace("_", "-").split("-")[0]
    return head if head in SPLITS else None


def _below(folders: Iterable[Path]) -> list[Path]:
    """The data files below some folders, of one kind: tables or arrays where there are any, else images."""
    files = [f for folder in folders for f in sorted(folder.rglob("*")) if f.is_file()]
    for suffixes in ({".parquet"}, ARRAY_SUFFIXES, IMAGE_SUFFIXES):
        kind = [f for f in files if f.suffix.lower() in suffixes]
        if kind:
            return kind
    raise FileNotFoundError(f"no images, .parquet, .npy or .npz files in {', '.join(map(str, folders))}")


def _folder_images(files: list[Path]) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    for file in files:
        yield str(file), lambda file=file: read_image(file)  # type: ignore[misc]


def _parquet_images(files: list[Path]) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise ModuleNotFoundError('reading parquet needs pyarrow: pip install "colddiff[parquet]"') from None
    for file in files:
        table = pq.ParquetFile(file)
        columns = [c.name for c in table.schema_arrow if str(c.type).startswith("struct") and "bytes" in str(c.type)]
        if not columns:
            raise ValueError(
                f"{str(file)!r} has no column of encoded images (a struct with bytes), as the hub writes it"
            )
        row = 0
        for batch in table.iter_batches(columns=columns[:1]):
            for value in batch.column(0).to_pylist():
                data = value["bytes"]
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
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
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
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            names = [n for n in ("images", "x", *loaded.files) if n in loaded.files and loaded[n].ndim in (3, 4)]
            if not names:
                raise ValueError(f"it holds no array of images, only {loaded.files}")
            array = loaded[names[0]]
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"cannot read {str(file)!r} as arrays: {error}") from None
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(f"expected (N, H, W), (N, H, W, C) or (N, C, H, W) in {str(file)!r}, got {array.shape}")
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.dim() == 3:
        tensor = tensor[:, None]
    elif tensor.shape[-1] in (1, 3) and tensor.shape[1] not in (1, 3):
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point() or not bool(((tensor >= 0) & (tensor <= 1)).all()):
        raise ValueError(f"{str(file)!r} must hold uint8, or floats in [0, 1]; got {array.dtype}")
    return (tensor * 255).round().to(torch.uint8)


def _sized(images: Tensor, size: int | None) -> tuple[Tensor, str]:
    if size is None or tuple(images.shape[2:]) == (size, size):
        return images, "none"
    pictures = (Image.fromarray(p.permute(1, 2, 0).squeeze(-1).numpy()) for p in images)
    return torch.stack([to_tensor(fit(p, size)) for p in pictures]), _how(size)


def _how(size: int) -> str:
    return f"short side to {size} px (bilinear, Pillow), centre crop, 8 bits"
