"""The wordings that no training caption uses, to see what a model does with words that it never saw.

The second one was written before any change was made to what the models train on, so that it judges such changes
without having guided them. Neither shares a content word or a sentence with the other or with training captions.
"""

from .vocabulary import HELD_OUT, Vocabulary

SECOND_HELD_OUT = Vocabulary(
    names={
        "beep": ("a digital pip | digital pips", "a gadget peep | gadget peeps"),
        "bell": ("a peal from a steeple | peals from a steeple", "a belfry dong | belfry dongs"),
        "dog-bark": ("a terrier yelp | terrier yelps", "a canine arf | canine arfs"),
        "drum": ("a snare whack | snare whacks", "a tambour thud | tambour thuds"),
        "frog-croak": (
            "an amphibian grunt | amphibian grunts",
            "an amphibian in a marsh | amphibians in a marsh",
        ),
        "hammer": ("a mallet smashing steel | mallets smashing steel", "a forge clank | forge clanks"),
        "horn": ("an automobile hoot | automobile hoots", "a taxi blare | taxi blares"),
        "knock": (
            "a fist banging an oak panel | fists banging an oak panel",
            "a bang by a visitor | bangs by a visitor",
        ),
        "laser": ("a phaser discharge | phaser discharges", "a starship weapon | starship weapons"),
        "pluck": ("a mandolin chord | mandolin chords", "a picked lute | picked lutes"),
        "sonar": (
            "a naval depth finder | naval depth finders",
            "a maritime transponder | maritime transponders",
        ),
        "static-burst": (
            "a fizz of an untuned receiver | fizzes of an untuned receiver",
            "a garbled transmission | garbled transmissions",
        ),
        "water-drop": (
            "a trickle in a sink | trickles in a sink",
            "a splash in a basin | splashes in a basin",
        ),
        "creak": ("an unoiled shutter", "groaning floorboards"),
        "falling-sweep": ("a sinking whistle", "a plunging frequency"),
        "rising-sweep": ("a climbing whistle", "a soaring frequency"),
        "thunder": ("a tempest", "grumbling clouds"),
        "alarm": ("an intruder alert", "an evacuation alert"),
        "applause": ("slapping palms", "acclaim from spectators"),
        "bird": ("a trilling canary", "a twittering finch"),
        "bubbles": ("simmering soup", "an aerated aquarium"),
        "buzz": ("a vibrating transformer", "a wasp"),
        "clock": ("a swinging pendulum", "a chronometer"),
        "crickets": ("katydids", "locusts in a meadow"),
        "engine": ("a diesel bus", "a stationary lorry"),
        "footsteps": ("a hiker", "a pedestrian in sneakers"),
        "heartbeat": ("a stethoscope", "blood pumping in arteries"),
        "helicopter": ("a military aircraft", "spinning propellers"),
        "rain": ("a heavy shower", "wet weather"),
        "saw": ("a joiner trimming planks", "a logger felling trees"),
        "siren": ("a fire brigade", "paramedics rushing"),
        "telephone": ("a switchboard operator", "an unanswered dial"),
        "tone": ("an unchanging oscillator", "a uniform frequency"),
        "wind": ("a draught", "swirling air"),
    },
    counts={1: ("an individual", "a sole"), 2: ("a duo of",), 3: ("a triplet of",), 4: ("a quadruplet of",)},
    several=("various", "plenty of"),
    loudness={"loud": ("intense", "deafening"), "faint": ("muted", "gentle")},
    pitch={"high": ("piercing", "soprano"), "low": ("baritone",)},
    templates={
        "alone": ("entirely {a}", "this file features {a}", "notice {a}", "a microphone in front of {a}"),
        "then": (
            "{a} until {b}",
            "{b} subsequent to {a}",
            "{a} leading into {b}",
            "{a} succeeded by {b}",
            "initially {a}, finally {b}",
        ),
        "while": ("{a} concurrently with {b}", "{a} mixed with {b}", "{a} blended with {b}"),
        "during": ("{front} over {back}", "{front} surrounded by {back}"),
        "both": ("{a} in addition to {b}", "{a} besides {b}", "this file features {a} besides {b}"),
    },
)

# By the name of the split that has the test clips under captions in this wording.
UNSEEN_WORDINGS: dict[str, Vocabulary] = {
    "test_unseen_wording": HELD_OUT,
    "test_second_unseen_wording": SECOND_HELD_OUT,
}

__all__ = ["HELD_OUT", "SECOND_HELD_OUT", "UNSEEN_WORDINGS"]
