"""Generated sound scenes with true captions: the dataset that needs no download."""

from .claims import Claims, PartClaim, caption_fits, fitting_matrix
from .dataset import SceneSettings, load_scenes

__all__ = ["Claims", "PartClaim", "SceneSettings", "caption_fits", "fitting_matrix", "load_scenes"]
