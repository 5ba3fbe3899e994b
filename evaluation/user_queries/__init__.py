"""Queries as users type them, with the clips that fit by planted truth, and figures for each kind of query."""

from .label_queries import label_queries
from .query_kinds import QUERY_KINDS, UserQuery, UserQueryError
from .query_report import embed_clips_of, evaluate_user_queries, format_user_queries
from .scene_queries import scene_queries

__all__ = [
    "QUERY_KINDS",
    "UserQuery",
    "UserQueryError",
    "embed_clips_of",
    "evaluate_user_queries",
    "format_user_queries",
    "label_queries",
    "scene_queries",
]
