"""The event kinds of scenes, and the words for each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import lasting_sounds as lasting
from . import struck_sounds as struck

Synthesizer = Callable[[np.random.Generator, float, int, float], np.ndarray]


@dataclass(frozen=True)
class EventKind:
    """One kind of sound event.

    Attributes:
        name: Stable key, words joined by hyphens; used in file names and descriptions.
        make: (rng, seconds, rate, pitch) -> one event of at most `seconds`, float64 (samples,).
        countable: Comes as single strokes that can be counted.
        pitched: Can be high or low.
        lasting: Has any requested duration, and can be the background of another event.
        noisy: Fills the spectrum so that two such kinds at once would hide each other.
    """

    name: str
    make: Synthesizer
    countable: bool = False
    pitched: bool = False
    lasting: bool = False
    noisy: bool = False


_ALL = (
    EventKind("beep", struck.beep, countable=True, pitched=True),
    EventKind("bell", struck.bell, countable=True, pitched=True),
    EventKind("dog-bark", struck.dog_bark, countable=True),
    EventKind("drum", struck.drum, countable=True),
    EventKind("frog-croak", struck.frog_croak, countable=True),
    EventKind("hammer", struck.hammer, countable=True),
    EventKind("horn", struck.horn, countable=True, pitched=True),
    EventKind("knock", struck.knock, countable=True),
    EventKind("laser", struck.laser, countable=True),
    EventKind("pluck", struck.pluck, countable=True, pitched=True),
    EventKind("sonar", struck.sonar, countable=True),
    EventKind("static-burst", struck.static_burst, countable=True, noisy=True),
    EventKind("water-drop", struck.water_drop, countable=True),
    EventKind("creak", lasting.creak),
    EventKind("falling-sweep", lasting.falling_sweep),
    EventKind("rising-sweep", lasting.rising_sweep),
    EventKind("thunder", lasting.thunder, noisy=True),
    EventKind("alarm", lasting.alarm, lasting=True),
    EventKind("applause", lasting.applause, lasting=True, noisy=True),
    EventKind("bird", lasting.bird, lasting=True),
    EventKind("bubbles", lasting.bubbles, lasting=True),
    EventKind("buzz", lasting.buzz, lasting=True),
    EventKind("clock", lasting.clock, lasting=True),
    EventKind("crickets", lasting.crickets, lasting=True),
    EventKind("engine", lasting.engine, lasting=True),
    EventKind("footsteps", lasting.footsteps, lasting=True),
    EventKind("heartbeat", lasting.heartbeat, lasting=True),
    EventKind("helicopter", lasting.helicopter, lasting=True, noisy=True),
    EventKind("rain", lasting.rain, lasting=True, noisy=True),
    EventKind("saw", lasting.saw, lasting=True, noisy=True),
    EventKind("siren", lasting.siren, lasting=True),
    EventKind("telephone", lasting.telephone, lasting=True),
    EventKind("tone", lasting.tone, pitched=True, lasting=True),
    EventKind("wind", lasting.wind, lasting=True, noisy=True),
)

KINDS: dict[str, EventKind] = {kind.name: kind for kind in _ALL}
