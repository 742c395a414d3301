"""Images in and out: data sets, files, conversion."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import ImageData as ImageData
    from .dataset import from_images as from_images
    from .dataset import load_data as load_data
    from .dataset import with_targets as with_targets
    from .streaming.dataset import stream_data as stream_data

# Loaded when first asked for: `import colddiff` needs one module of this package, and not these.
_LAZY = {
    "ImageData": "dataset",
    "from_images": "dataset",
    "load_data": "dataset",
    "with_targets": "dataset",
    "stream_data": "streaming.dataset",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
