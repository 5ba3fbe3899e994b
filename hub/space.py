"""A Gradio Space that shows a published model: sentences against uploaded sounds."""

from importlib import resources

from .publishing import Publication, check_repo_id

_README = """---
title: {title}
emoji: 🔎
colorFrom: indigo
colorTo: green
sdk: gradio
app_file: app.py
pinned: false
models:
- {model_id}
---

Upload sounds, write a sentence, and [{model_id}](https://huggingface.co/{model_id}) ranks them.
"""
_REQUIREMENTS = "torch\ntransformers>=5.23,<6\nsoundfile\nsoxr\nnumpy\n"


def collect_space(model_id: str, repo_id: str) -> Publication:
    """
    The files of a Space for a published model.

    Args:
        model_id: of the model on the Hub.
        repo_id: of the Space, ``owner/name``.

    Raises:
        PublishError: if one cannot be a repository's name.
    """
    check_repo_id(model_id)
    check_repo_id(repo_id)
    app = (resources.files("auricle.model_cards") / "space_app.py.txt").read_text(encoding="utf-8")
    readme = _README.format(title=repo_id.split("/")[-1], model_id=model_id)
    return Publication(
        repo_id,
        {
            "README.md": readme.encode(),
            "app.py": app.replace("@MODEL_ID@", model_id).encode(),
            "requirements.txt": _REQUIREMENTS.encode(),
        },
    )


__all__ = ["collect_space"]
