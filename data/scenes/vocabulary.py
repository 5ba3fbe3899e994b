"""The words of the captions: one vocabulary to train with and one, sharing no content word, held out.

A name is a noun phrase with its article if it takes one ("a siren", "rain"). The names of a countable kind
come with their plural, as "a knock on a door | knocks on a door". In the templates, {a} and {b} stand for
the parts of the scene in their order, {front} and {back} for an event and the lasting sound around it. No
template has a verb that would have to agree with a part in number.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """Everything that captions are made of.

    Attributes:
        names: Noun phrases of each event kind.
        counts: Words for 1 to 4; the word for 1 replaces the article.
        several: Words for any count of 3 or more.
        loudness: Adjectives of "loud" and "faint".
        pitch: Adjectives of "high" and "low".
        templates: Sentences of each relation: "alone", "then", "while" (with {a} and {b} in either order),
            "during" (with {front} and {back}) and "both", which leaves open how {a} and {b} relate to each other.
    """

    names: dict[str, tuple[str, ...]]
    counts: dict[int, tuple[str, ...]]
    several: tuple[str, ...]
    loudness: dict[str, tuple[str, ...]]
    pitch: dict[str, tuple[str, ...]]
    templates: dict[str, tuple[str, ...]]


TRAINING = Vocabulary(
    names={
        "beep": ("a beep | beeps", "an electronic beep | electronic beeps", "a short beep | short beeps"),
        "bell": ("a bell | bells", "a church bell | church bells", "a stroke of a bell | strokes of a bell"),
        "dog-bark": ("a bark | barks", "a dog bark | dog barks", "a bark of a dog | barks of a dog"),
        "drum": ("a drum hit | drum hits", "a drum | drums", "a stroke on a drum | strokes on a drum"),
        "frog-croak": (
            "a croak | croaks",
            "a frog croak | frog croaks",
            "a croak of a frog | croaks of a frog",
        ),
        "hammer": (
            "a hammer blow | hammer blows",
            "a hit of a hammer on metal | hits of a hammer on metal",
            "a hammer hit | hammer hits",
        ),
        "horn": ("a car horn | car horns", "a honk | honks", "a honk of a horn | honks of a horn"),
        "knock": (
            "a knock | knocks",
            "a knock on a door | knocks on a door",
            "a wooden knock | wooden knocks",
        ),
        "laser": ("a laser zap | laser zaps", "a zap | zaps", "a laser shot | laser shots"),
        "pluck": (
            "a plucked string | plucked strings",
            "a guitar pluck | guitar plucks",
            "a pluck of a guitar string | plucks of a guitar string",
        ),
        "sonar": (
            "a sonar ping | sonar pings",
            "a submarine ping | submarine pings",
            "a ping of a sonar | pings of a sonar",
        ),
        "static-burst": (
            "a burst of static | bursts of static",
            "a noise burst | noise bursts",
            "a burst of white noise | bursts of white noise",
        ),
        "water-drop": (
            "a water drip | water drips",
            "a drip of water | drips of water",
            "a splat of water | splats of water",
        ),
        "creak": ("a creaking door", "a creak of a door", "a creaking hinge"),
        "falling-sweep": ("a falling sweep", "a falling tone", "a falling pitch"),
        "rising-sweep": ("a rising sweep", "a rising tone", "a rising pitch"),
        "thunder": ("thunder", "rumbling thunder", "a roll of thunder"),
        "alarm": ("an alarm", "a burglar alarm", "an alarm signal"),
        "applause": ("applause", "a clapping audience", "hand claps"),
        "bird": ("a chirping bird", "a singing bird", "birdsong"),
        "bubbles": ("bubbles", "bubbling liquid", "a stream of bubbles"),
        "buzz": ("a buzz", "a mains buzz", "a buzzer"),
        "clock": ("a ticking clock", "a wall clock", "ticking"),
        "crickets": ("crickets", "crickets at night", "a field of crickets"),
        "engine": ("a running engine", "an engine", "an idling motor"),
        "footsteps": ("footsteps", "footsteps on gravel", "a walking person"),
        "heartbeat": ("a heartbeat", "a beating heart", "a human heart"),
        "helicopter": ("a helicopter", "a flying helicopter", "a hovering helicopter"),
        "rain": ("rain", "pouring rain", "rainfall"),
        "saw": ("a hand saw", "sawing", "a saw cutting wood"),
        "siren": ("a siren", "a wailing siren", "an emergency siren"),
        "telephone": ("a ringing telephone", "a ringing phone", "a telephone"),
        "tone": ("a steady tone", "a continuous tone", "a test tone"),
        "wind": ("wind", "blowing wind", "gusts of wind"),
    },
    counts={1: ("a single", "one"), 2: ("two",), 3: ("three",), 4: ("four",)},
    several=("several", "many"),
    loudness={"loud": ("loud", "very loud"), "faint": ("faint", "quiet")},
    pitch={"high": ("high-pitched", "high"), "low": ("low-pitched", "deep")},
    templates={
        "alone": ("{a}", "the sound of {a}", "{a} can be heard", "a recording of {a}", "we hear {a}"),
        "then": (
            "{a} followed by {b}",
            "{a}, then {b}",
            "first {a} and then {b}",
            "{a} before {b}",
            "{b} after {a}",
            "we hear {a}, followed by {b}",
        ),
        "while": (
            "{a} and {b} at the same time",
            "{a} together with {b}",
            "{a} along with {b}",
            "we hear {a} and {b} at once",
        ),
        "during": ("{front} during {back}", "{front} with {back} in the background", "{back} behind {front}"),
        "both": ("{a} and {b}", "the sounds of {a} and {b}", "{a} and also {b}", "we hear {a} and {b}"),
    },
)

HELD_OUT = Vocabulary(
    names={
        "beep": ("a blip | blips", "a computer bleep | computer bleeps"),
        "bell": ("a chime | chimes", "a toll from a cathedral tower | tolls from a cathedral tower"),
        "dog-bark": ("a puppy woof | puppy woofs", "a yap from a hound | yaps from a hound"),
        "drum": ("a bongo thump | bongo thumps", "a percussion boom | percussion booms"),
        "frog-croak": ("a toad ribbit | toad ribbits", "a ribbit from a pond | ribbits from a pond"),
        "hammer": (
            "a clang from an anvil | clangs from an anvil",
            "a blacksmith pounding iron | blacksmiths pounding iron",
        ),
        "horn": ("a vehicle toot | vehicle toots", "a klaxon | klaxons"),
        "knock": ("a rap by knuckles | raps by knuckles", "a tap at an entrance | taps at an entrance"),
        "laser": ("a ray gun | ray guns", "a sci-fi blaster | sci-fi blasters"),
        "pluck": ("a banjo twang | banjo twangs", "a strummed ukulele | strummed ukuleles"),
        "sonar": (
            "an underwater echo | underwater echoes",
            "an undersea radar pulse | undersea radar pulses",
        ),
        "static-burst": (
            "a hiss from radio interference | hisses from radio interference",
            "a television crackle | television crackles",
        ),
        "water-drop": ("a leaky faucet plop | leaky faucet plops", "a droplet | droplets"),
        "creak": ("a squeaky gate", "a rusty squeak"),
        "falling-sweep": ("a descending slide", "a glissando going down"),
        "rising-sweep": ("an ascending slide", "a glissando going up"),
        "thunder": ("lightning", "an electrical storm"),
        "alarm": ("a smoke detector", "a security warning"),
        "applause": ("a cheering crowd", "an ovation"),
        "bird": ("a tweeting sparrow", "a warbling robin"),
        "bubbles": ("a boiling pot", "gurgling fluid"),
        "buzz": ("a droning bee", "humming current"),
        "clock": ("a metronome", "a wristwatch"),
        "crickets": ("cicadas", "grasshoppers"),
        "engine": ("a truck", "a tractor"),
        "footsteps": ("somebody strolling", "marching boots"),
        "heartbeat": ("cardiac throbbing", "a cardiac rhythm"),
        "helicopter": ("a chopper", "whirling rotor blades"),
        "rain": ("a downpour", "drizzle"),
        "saw": ("a carpenter slicing timber", "a lumberjack"),
        "siren": ("an ambulance", "a police cruiser"),
        "telephone": ("an incoming call", "a landline"),
        "tone": ("a sustained sine wave", "a constant pure note"),
        "wind": ("a breeze", "a howling gale"),
    },
    counts={
        1: ("a lone", "a solitary"),
        2: ("a pair of", "a couple of"),
        3: ("a trio of",),
        4: ("a quartet of",),
    },
    several=("multiple", "numerous"),
    loudness={"loud": ("powerful", "forceful"), "faint": ("soft", "hushed")},
    pitch={"high": ("treble", "shrill"), "low": ("bass",)},
    templates={
        "alone": ("nothing but {a}", "listen to {a}", "an audio clip containing {a}", "someone captured {a}"),
        "then": (
            "{a} giving way to {b}",
            "{b} preceded by {a}",
            "beginning as {a}, ending as {b}",
            "{a} and next {b}",
            "{a}, later {b}",
        ),
        "while": ("{a} simultaneously with {b}", "{a} accompanied by {b}", "{a} overlapping {b}"),
        "during": ("{front} amid {back}", "{front} against a backdrop of {back}"),
        "both": ("{a} plus {b}", "{a} as well as {b}", "someone captured {a} plus {b}"),
    },
)
