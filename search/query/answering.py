"""A query and its filters, answered from memory or from the table."""

from ..errors import SearchError
from ..store.index_store import Store
from .answers import Question, ask_table, check_question, rank_contents
from .filters import Filters
from .hits import Hit
from .index_contents import CurrentContents
from .resolved_filters import resolve_filters


def answer(
    store: Store, contents: CurrentContents, question: Question, filters: Filters, *, exact: bool
) -> list[Hit]:
    """
    The files of an index that match a query best, in order.

    Args:
        store, contents: of the index.
        question: the query.
        filters: only files that match them can be results.
        exact: compare with every vector, even if there is an approximate index.

    Raises:
        SearchError: for a query or filters that cannot be used, or an empty index.
    """
    check_question(question)
    filters, now = resolve_filters(store, contents, filters), contents.get()
    if store.approximate:
        return ask_table(store, now, question, filters, exact=exact)
    if not len(now.windows["path"]):
        raise SearchError(f"{store.folder}: the index is empty; bring it up to date with auricle index.")
    return rank_contents(now, question, filters)


__all__ = ["answer"]
