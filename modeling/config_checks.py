"""Checks that all configurations share."""

import difflib
import warnings
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from transformers.configuration_utils import PreTrainedConfig


class FieldNameChecks:
    """
    For configs: a misspelt field is an error as a keyword, and a warning as an attribute or in a saved file.

    Configs keep unknown names as plain attributes, which the Hub's own tooling relies on; a misspelt field would
    be kept the same way and its default would silently apply. A saved config must still load, however.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(self, name) and (meant := misspelt_fields(type(self), [name]).get(name)):
            warnings.warn(
                f"{type(self).__name__} has no field {name!r} and nothing uses it; did you mean {meant!r}?",
                stacklevel=3,
            )
        super().__setattr__(name, value)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> Any:
        """As in transformers; a name similar to a field's is kept as an attribute, with a warning."""
        odd = misspelt_fields(cls, config_dict)
        loaded = super().from_dict({key: config_dict[key] for key in config_dict if key not in odd}, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in odd:
            setattr(config, name, config_dict[name])
        return loaded


def misspelt_fields(config_class: type, names: Iterable[str]) -> dict[str, str]:
    """Misspelt field names of a config class, each with the most similar field."""
    fields = list(config_class.__dataclass_fields__)
    known = {*fields, *config_class.attribute_map}
    found = {}
    for name in names:
        if name not in known and not name.startswith("_"):
            nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0.85)
            found |= {name: nearest[0]} if nearest else {}
    return found


def refuse_misspelt_fields(config: PreTrainedConfig, extra: Iterable[str]) -> None:
    """
    Raises an error for a keyword that is similar to the name of a config field.

    Args:
        config: the config being built.
        extra: names of the keywords that are not fields.

    Raises:
        ValueError: names the keyword and the most similar field.
    """
    for name, meant in misspelt_fields(type(config), extra).items():
        raise ValueError(f"{type(config).__name__} has no field {name!r}; did you mean {meant!r}?")


def refuse_numbers_below_one(config: PreTrainedConfig, fields: Iterable[str]) -> None:
    """
    Raises an error for a size or a count that is 0 or negative.

    Args:
        config: the config being built.
        fields: names of its integer fields.

    Raises:
        ValueError: names the field and its value.
    """
    for name in fields:
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} must be at least 1.")


def refuse_impossible_cluster_count(num_clusters: int) -> None:
    """
    Raises an error for an invalid number of clusters.

    Args:
        num_clusters: 0 means no heads.

    Raises:
        ValueError: unless it is 0 or at least 2; with a single class there is nothing to predict.
    """
    if num_clusters < 0 or num_clusters == 1:
        raise ValueError(f"num_clusters={num_clusters} must be 0 (no cluster heads) or at least 2.")


def refuse_impossible_prefixes(matryoshka_dims: Iterable[int] | None, projection_dim: int) -> None:
    """
    Raises an error for invalid lengths of prefixes.

    Args:
        matryoshka_dims: the lengths; None or empty means no prefixes.
        projection_dim: length of the embeddings.

    Raises:
        ValueError: unless they ascend, each from 1 to ``projection_dim``.
    """
    dims = list(matryoshka_dims or ())
    ascending = all(shorter < longer for shorter, longer in pairwise(dims))
    if dims and not (ascending and dims[0] >= 1 and dims[-1] <= projection_dim):
        raise ValueError(
            f"matryoshka_dims={dims} must be ascending integers from 1 to projection_dim={projection_dim}."
        )
