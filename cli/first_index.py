"""Without an index, `auricle serve` opens a page that offers to make one."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..search.page.first_run import NewIndex
    from ..search.sound_index import SoundIndex

# For a folder of recordings, the index is next to the folder.
ENDING = ".auricle"


def index_of(place: str) -> str:
    """
    The index of a name: the index directory itself, or the index next to a folder of recordings.

    Args:
        place: a directory or URI.
    """
    if not holds_recordings(place):
        return place
    folder = Path(place).absolute()
    return str(folder.with_name(folder.name + ENDING))


def holds_recordings(place: str) -> bool:
    """Whether a path is a folder with files that are neither an index nor a damaged one."""
    folder = Path(place)
    if "://" in place or not folder.is_dir() or not folder.name:
        return False
    names = {path.name for path in folder.iterdir()}
    return bool(names) and not names & {"index.json", "sounds.lance", "pending", "index.lock"}


def new_index(place: str, model: str | None, *, trust_remote_code: bool = False) -> "NewIndex | None":
    """
    The index that a page may create; None if there already is an index or another file at this path.

    Args:
        place: as it was given to the command.
        model: for the new index; None for the default model.
        trust_remote_code: run Python code of the model's repository.
    """
    directory = Path(index_of(place))
    if "://" in place or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
        return None
    from ..encoders.default_model import DEFAULT_MODEL
    from ..search.index_creation import load_encoder_on_half_the_cores
    from ..search.page.first_run import NewIndex
    from ..search.sound_index import SoundIndex

    def create(chosen: str) -> "SoundIndex":
        return SoundIndex.create(
            directory, chosen, trust_remote_code=trust_remote_code, loader=load_encoder_on_half_the_cores
        )

    folder = str(Path(place).absolute()) if holds_recordings(place) else ""
    return NewIndex(str(directory), create, folder, model or DEFAULT_MODEL)
