"""Vision-language models: recognise them, and load their processors without torchvision."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def reads_images(config: PretrainedConfig) -> bool:
    """Return whether a model has a vision tower."""
    return getattr(config, "vision_config", None) is not None


def model_class(config: PretrainedConfig) -> Any:
    """Return the auto class that loads a model."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if reads_images(config) else AutoModelForCausalLM


def processor_class(config: PretrainedConfig) -> Any:
    """Return the class of a model's processor: transformers' choice, without torchvision less video support.

    Processors that also read videos need torchvision for them.
    """
    from transformers import AutoProcessor
    from transformers.models.auto import PROCESSOR_MAPPING

    if find_spec("torchvision") is not None:
        return AutoProcessor
    _admit_pil(type(config))
    stock: Any = PROCESSOR_MAPPING.get(type(config), None)
    has_videos = stock is not None and "video_processor" in stock.get_attributes()
    return _without_videos(stock) if has_videos else AutoProcessor


def _admit_pil(family: type[PretrainedConfig]) -> None:
    """Make transformers find a model's image processor on PIL, if the model's folder has one.

    transformers 5.17 hides it if its source mentions torchvision, as for Idefics and SmolVLM.
    """
    source = family.__module__.replace("configuration_", "image_processing_pil_")
    if source.startswith("transformers.models.") and find_spec(source) is not None:
        module = import_module(source)
        for name in module.__all__:
            setattr(import_module(source.rpartition(".")[0]), name, getattr(module, name))


@cache
def _without_videos(stock: Any) -> Any:
    """Return a processor class like `stock`, under its name, whose instances have no video processor."""

    class WithoutVideos(stock):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in stock.get_attributes() if name != "video_processor"]

        @classmethod
        def _get_arguments_from_pretrained(cls, *arguments: Any, **keywords: Any) -> list[Any]:
            parts = super()._get_arguments_from_pretrained(*arguments, **keywords)
            parts.insert(stock.get_attributes().index("video_processor"), None)
            return parts

        def save_pretrained(self, save_directory: Any, **keywords: Any) -> None:
            super().save_pretrained(save_directory, **keywords)
            # with torchvision, transformers makes the video processor from this file
            self.image_processor.save_pretrained(save_directory)

    WithoutVideos.__name__ = stock.__name__  # saved with the processor, which then loads as the stock one
    return WithoutVideos
