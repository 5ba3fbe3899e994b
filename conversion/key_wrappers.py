"""Removes prefixes that a wrapper added to the keys of a checkpoint."""

from .key_plan import Checkpoint, ConversionError

COMPILED = "_orig_mod."
WRAPPERS = ("net.", "model.", "module.")


def without_wrappers(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """
    Takes off what torch.compile and modules around the model add to the names of its weights.

    ``_orig_mod.`` is removed everywhere; ``net.``, ``model.`` and ``module.`` if every key begins with it.

    Returns:
        The checkpoint with the model's own names, and what was done, a sentence each.

    Raises:
        ConversionError: if two keys would get the same name.
    """
    weights, notes = dict(checkpoint.weights), []
    compiled = [name for name in weights if COMPILED in name]
    if compiled:
        weights = _renamed(weights, {name: name.replace(COMPILED, "") for name in compiled}, checkpoint.name)
        notes.append(f"removed '{COMPILED}' of torch.compile from {len(compiled)} of {len(weights)} keys")
    taken = ""
    while prefix := next((head for head in WRAPPERS if all(name.startswith(head) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
        taken += prefix
    if taken:
        notes.append(f"removed the prefix '{taken}' from all {len(weights)} keys")
    return Checkpoint(checkpoint.name, weights, checkpoint.settings), notes


def _renamed(weights: dict, names: dict[str, str], file: str) -> dict:
    renamed = {names.get(name, name): value for name, value in weights.items()}
    if len(renamed) != len(weights):
        twice = next(
            new for old, new in names.items() if new in weights or list(names.values()).count(new) > 1
        )
        raise ConversionError(f"{file}: contains {twice!r} twice, with and without '{COMPILED}'.")
    return renamed


__all__ = ["without_wrappers"]
