"""Generated sound scenes with true captions: the data set that needs no download."""

from .dataset import SceneSettings, load_scenes

__all__ = ["SceneSettings", "load_scenes"]
