"""Augmented captions: back-translation and mixing by language models, as resumable jobs."""

from .answer_checks import AnswerFault, clean_answer, find_fault
from .back_translation import LANGUAGES, back_translate, read_back_translations
from .caption_mixing import choose_mixes, write_mixes
from .job import JobError, JobSummary, estimate_tokens
from .journal import Journal
from .prompts_files import Prompt, load_prompt
from .requests import TextBackend, TextRequest

__all__ = [
    "LANGUAGES",
    "AnswerFault",
    "JobError",
    "JobSummary",
    "Journal",
    "Prompt",
    "TextBackend",
    "TextRequest",
    "back_translate",
    "choose_mixes",
    "clean_answer",
    "estimate_tokens",
    "find_fault",
    "load_prompt",
    "read_back_translations",
    "write_mixes",
]
