"""
Results that learn from marks: what people marked, classifiers on stored vectors, and named searches.

No model runs here, except that a new query is embedded. The functions take a [`SoundIndex`]:

* ``SavedSearches(index)``: ``.save(name, question, vector=None, filters=None)``, ``.get(name)``, ``.names()``,
  ``.delete(name)``, ``name in ...``.
* ``MarkTable(index)``: ``.add(name, path, start, end, fits=True, who=None)``, ``.remove(name, path, start, end)``,
  ``.of(name, question)``. ``name=""`` and ``question=...`` mark for a query that has no name yet; its marks count
  for a search that is later saved with that query.
* ``refine(index, name)``, or ``refine(index, question=..., vector=...)`` without a name: a ``Refinement`` with
  ``.answers(top, filters, unmarked=False)``, ``.least_sure(top, filters)``, ``.summary()``, ``.remarks()``, ``.fits``,
  ``.misfits``, ``.method``.
* ``refined_answers(index, name, top, filters)`` and ``least_sure(index, name, top)``: the same in one call, as lists of
  [`Hit`].

All raise `SearchError` with a one-line message.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .mark_table import MarkTable
    from .refining import Refinement, least_sure, refine, refined_answers
    from .saved_searches import SavedSearch, SavedSearches

_PLACES = {
    "MarkTable": "mark_table",
    "Refinement": "refining",
    "least_sure": "refining",
    "refine": "refining",
    "refined_answers": "refining",
    "SavedSearch": "saved_searches",
    "SavedSearches": "saved_searches",
}

__all__ = [
    "MarkTable",
    "Refinement",
    "SavedSearch",
    "SavedSearches",
    "least_sure",
    "refine",
    "refined_answers",
]


def __getattr__(name: str) -> Any:
    # Imported when first used, so that the command line starts fast.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
