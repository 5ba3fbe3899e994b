"""Event handlers of the page, which compute its next state from the values of its fields."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..query.copies import CopyGroup, find_groups
from ..sound_index import Hit, SearchError, SoundIndex
from .cards import actions_html, card_html, copies_html, player_html
from .filter_fields import LABELS, FilterValues, offered
from .first_run import Library, welcome
from .learning import learned_hits, mark_html, marks_of, refinement, save_search, saved_names, set_mark
from .playing.player import playable
from .playing.sounds import AnsweredSounds
from .shown_answers import CARDS, MOST_ANSWERS, Answers, Asked, plain


class Listener:
    """
    Each method takes the values of the page's fields and returns its next state.

    Args:
        gr: Gradio.
        library: the library with the index.
        sounds: receives the results.
    """

    def __init__(self, gr: Any, library: Library, sounds: AnsweredSounds):
        self.gr, self.library, self.sounds = gr, library, sounds

    @contextmanager
    def told(self) -> Iterator[None]:
        """Shows errors of a query or the index on the page, with their message, instead of in the terminal."""
        try:
            yield
        except (SearchError, OSError, ImportError) as error:
            raise self.gr.Error(str(error), print_exception=False) from error

    # -------------------------------------------------------------------------------- the library

    def choices(self) -> list[Any]:
        """Of the filters, as the index is now: others may have changed it."""
        with self.told():
            return offered(self.gr, self.library.found)

    def trouble(self) -> Any:
        """The notice that search is not available, and the remedy."""
        index = self.library.found
        missing = "" if index is None else index.missing_model
        return self.gr.update(value=f"**Search is not available.** {plain(missing)}", visible=bool(missing))

    def opened(self) -> list[Any]:
        """Of a page that is opened: trouble, saved searches, the parts of the first run, and the filters' choices."""
        return [self.trouble(), self.saved(), *self.first_run(), *self.choices()]

    def first_run(self) -> list[Any]:
        """
        The components of the first run in their present state: column, text, model; column, bar, stop button and clock.
        """
        update, library = self.gr.update, self.library
        with self.told():
            asks = library.takes_folder
            running, bar = library.progress.running, library.progress.html()
            return [
                update(visible=asks),
                update(value=welcome(library) if asks else ""),
                update(visible=library.found is None),
                update(visible=bool(bar)),
                update(value=bar),
                update(visible=running),
                update(active=running),
            ]

    def start(self, folder: str, model: str) -> list[Any]:
        """Starts indexing a folder."""
        with self.told():
            self.library.start(folder, model)
        return self.first_run()

    def stop(self) -> None:
        """Stops indexing."""
        self.library.stop()

    def tick(self) -> list[Any]:
        """As [`first_run`], and the filters' choices: while a folder is indexed, new ones come."""
        return [*self.first_run(), *self.choices()]

    # ------------------------------------------------------------------------------------ asking

    def ask(self, answers: Answers, sentence: str, unwanted: str, names: bool, *filters: Any) -> list[Any]:
        """The results of a sentence."""
        asked = Asked(
            sentence=sentence or "",
            unwanted=unwanted or "",
            names=bool(names),
            filters=FilterValues.of(filters),
        )
        return self.answer(answers.then(asked))

    def ask_by_sound(self, answers: Answers, path: str | None, *filters: Any) -> list[Any]:
        """The results of an uploaded sound."""
        with self.told():
            if not path:
                raise SearchError("Upload or record audio first.")
        return self.answer(answers.then(Asked("sound", path=path, filters=FilterValues.of(filters))))

    def more_like(self, place: int) -> Callable[..., list[Any]]:
        """The results for the moment of a card."""

        def answer(answers: Answers, *filters: Any) -> list[Any]:
            with self.told():
                hit = self.hit(answers, place)
            moment = {"path": hit.path, "start": hit.start, "end": hit.end}
            return self.answer(answers.then(Asked("moment", **moment, filters=FilterValues.of(filters))))

        return answer

    def back(self, answers: Answers) -> list[Any]:
        """The previous query, with the contents of its fields."""
        with self.told():
            before = answers.before()
            if before is None:
                raise SearchError("There is no previous query.")
        return self._again(before)

    def again(self, answers: Answers, told: str | None) -> list[Any]:
        """An earlier query, by its words, with the contents of its fields."""
        with self.told():
            found = next((asked for asked in answers.history if asked.told == told), None)
            if found is None:
                raise SearchError("This query has expired: enter it again.")
        return self._again(answers.then(found))

    def turn(self, by: int) -> Callable[[Answers], list[Any]]:
        """The next or previous page of results."""

        def answer(answers: Answers) -> list[Any]:
            with self.told():
                return self.shown(answers.turned(by))

        return answer

    # ---------------------------------------------------------------------------------- learning

    def mark(self, place: int, *, fits: bool) -> Callable[[Answers], list[Any]]:
        """Marks a result, or takes the same mark back; gives the card's mark, the number of marks, and a note."""

        def answer(answers: Answers) -> list[Any]:
            with self.told():
                index, hit = self.library.index, self.hit(answers, place)
                who = None if self.library.local else "visitor"
                now = set_mark(index, answers.asked, hit, fits, who=who)
                marks = marks_of(index, answers.asked)
            return [mark_html(now), marks.told(), ""]

        return answer

    def view(self, view: str) -> Callable[..., list[Any]]:
        """The results of the current query, refined by marks, or what to mark next."""

        def answer(answers: Answers) -> list[Any]:
            with self.told():
                if not answers.trail:
                    raise SearchError("Enter a query first.")
            return self.answer(answers.then(replace(answers.asked, view=view)))

        return answer

    def open_search(self, answers: Answers, name: str | None, *filters: Any) -> list[Any]:
        """A saved search's results, refined by its marks."""
        with self.told():
            if not (name or "").strip():
                raise SearchError("Choose a saved search.")
            asked = Asked("saved", search=name.strip(), view="refined", filters=FilterValues.of(filters))
        return self.answer(answers.then(asked))

    def save(self, answers: Answers, name: str) -> list[Any]:
        """Saves the current query; gives the list of saved searches, an empty name, and a note."""
        with self.told():
            kept = save_search(self.library.index, answers.asked, name)
            return [self.saved(), "", f"Saved as **{plain(kept)}**."]

    def saved(self) -> Any:
        """The list of saved searches."""
        with self.told():
            return self.gr.update(choices=saved_names(self.library.found))

    def hit(self, answers: Answers, place: int) -> Hit:
        """
        The result of a card.

        Raises:
            SearchError: if the server no longer has the results.
        """
        if answers.first + place >= len(answers.groups):
            raise SearchError("These results have expired: search again.")
        return answers.groups[answers.first + place].hit

    def _again(self, answers: Answers) -> list[Any]:
        asked = answers.asked
        fields = (
            [asked.sentence, asked.unwanted, asked.names] if asked.kind == "sentence" else ["", "", False]
        )
        return [*self.answer(answers), *fields, *asked.filters.on_page()]

    def answer(self, answers: Answers) -> list[Any]:
        """The results of the current query, as [`shown`]."""
        asked = answers.asked
        filters = asked.filters
        with self.told():
            index = self.library.index
            if not len(index):
                raise SearchError("The library is empty. Add recordings first.")
            conditions, least = filters.conditions(), filters.least_score

            learned = None if asked.view == "answers" else refinement(index, asked)

            def find(top: int, least: float | None = least) -> list[Hit]:
                if learned is not None:
                    return learned_hits(learned, asked.view, top, least, conditions)
                return _find(index, asked, top=top, min_score=least, **conditions)

            store = None if filters.near_cosine is None else index.store
            if asked.view == "unsure":
                # Windows of one file are not copies of each other.
                groups = [CopyGroup(hit) for hit in find(MOST_ANSWERS, None)]
            else:
                groups = find_groups(find, MOST_ANSWERS, store=store, near_cosine=filters.near_cosine)
            # Of fewer than the most there are no others. A least score leaves an unknown number of more.
            more = len(groups) == MOST_ANSWERS
            files = sum(1 + len(group.copies) + len(group.near) for group in groups)
            if more and asked.view != "unsure":
                files = max(files, index.count(**conditions) if least is None else files)
            why = "" if groups else _why_empty(index, conditions, least, find)
            kept = {"groups": tuple(groups), "files": files, "more": more and files > len(groups)}
            told = "" if learned is None else " ".join([f"{learned.summary()}.", *learned.remarks()])
            return self.shown(replace(answers, **kept, why=why, learned=told))

    def shown(self, answers: Answers) -> list[Any]:
        """
        Card, content and mark of each result; paging buttons, back button, history; the row and text of a search
        that learns from marks; state, query, note.
        """
        update = self.gr.update
        updates: list[Any] = []
        marks = marks_of(self.library.index, answers.asked)
        for place in range(CARDS):
            if place >= len(answers.on_screen):
                updates += [update(visible=False), update(value=""), update(value="")]
                continue
            group = answers.on_screen[place]
            hit, sound = group.hit, playable(group.hit)
            address = self.sounds.address(sound)
            content = card_html(
                answers.first + place + 1, hit, sound.note, view=answers.asked.view
            ) + copies_html(group)
            if address is not None:
                files = self.sounds.files(hit.path, hit.start, hit.end)
                content += player_html(sound, address, hit)
                content += actions_html(hit, files, reveal=self.library.local)
            updates += [update(visible=True), update(value=content), update(value=mark_html(marks.of(hit)))]
        back, earlier = answers.back(), answers.earlier()
        return [
            *updates,
            update(visible=answers.first > 0),
            update(visible=answers.first + CARDS < len(answers.groups)),
            update(value=back, visible=bool(back)),
            update(choices=earlier, value=None, visible=len(earlier) > 1),
            update(visible=True),
            plain(answers.learned) or marks.told(),
            answers,
            answers.line(),
            "",
        ]


def _find(index: SoundIndex, asked: Asked, **how: Any) -> list[Hit]:
    if asked.kind == "sentence":
        unwanted = [asked.unwanted] if asked.unwanted.strip() else []
        return index.search(asked.sentence, negative=unwanted, names=asked.names, **how)
    return index.similar(asked.path, start=asked.start, end=asked.end, **how)


def _why_empty(
    index: SoundIndex,
    conditions: dict[str, Any],
    least: float | None,
    find: Callable[..., Sequence[Hit]],
) -> str:
    told = index.why_empty(names=LABELS, **conditions)
    if not told and least is not None:
        best = find(1, None)
        told = [f"Minimum score {least:g}: the best file scores {best[0].score:.3f}."] if best else []
    return " ".join(told)


__all__ = ["Listener"]
