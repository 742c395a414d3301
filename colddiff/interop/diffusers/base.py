"""What all parts for diffusers share: the package may be missing, and anybody may have written a folder of them."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ...utils.config import trusting_plugins, untrusted_names
from ...utils.files import read_json

T = TypeVar("T")

if TYPE_CHECKING:  # without their types, which come and go with versions of diffusers
    from typing import Any as BaseOutput
    from typing import Any as ConfigMixin
    from typing import Any as DiffusionPipeline
    from typing import Any as ModelMixin
    from typing import Any as SchedulerMixin

    ImagePipelineOutput: Any

    def register_to_config(init: T) -> T: ...
else:
    try:
        from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin, SchedulerMixin
        from diffusers.configuration_utils import register_to_config
        from diffusers.utils import BaseOutput
    except ImportError:
        raise ModuleNotFoundError(
            'colddiff.interop.diffusers needs diffusers: pip install "colddiff[diffusers]"'
        ) from None

__all__ = [
    "BaseOutput", "ConfigMixin", "DiffusionPipeline", "FromAnybody", "ImagePipelineOutput", "ModelMixin",
    "SchedulerMixin", "register_to_config",
]  # fmt: skip


class FromAnybody:
    """First among the bases of a part: no plug-in is imported because a file of a folder names it, unless trusted."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, trust_plugins: bool = False, **options: Any) -> Self:
        """The part that `save_pretrained` wrote into a folder, or what diffusers finds under that name.

        Args:
            folder: what was written, or owner/name of the hub.
            trust_plugins: import installed plug-ins that its config names; else only what has been imported is known.
            options: those of diffusers.
        """
        trusted = trusting_plugins(True) if trust_plugins else nullcontext()  # by its parts, too
        with untrusted_names(Path(folder), trust_plugins=trust_plugins), trusted:
            made: Self = super().from_pretrained(folder, **options)  # type: ignore[misc]
        return made

    def register_to_config(self, **values: Any) -> None:
        """All of them, for `from_config`: diffusers takes positional arguments for defaults, and forgets them there."""
        super().register_to_config(**values | {"_use_default_values": []})  # type: ignore[misc]

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        """Where diffusers reads every config: of bounded size and depth."""
        return read_json(Path(json_file))
