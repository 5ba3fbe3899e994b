"""The dissimilarity loss against brute force, and negated captions against what is in the clips."""

import math
import re

import numpy as np
import pytest
import torch
from bench_negated_captions import Sentences, Split, embedded, names_of, train
from dissimilarity import NEGATED_TEMPLATES, dissimilarity_loss, negated_captions

from auricle.data.scenes.vocabulary import TRAINING
from auricle.evaluation.user_queries import QUERY_KINDS, UserQuery
from auricle.evaluation.user_queries.query_report import trap_values

KINDS = [["rain", "bird"], ["rain"], ["siren", "rain"], ["bird", "bell"], ["bell"], ["siren", "bird"]]


@pytest.mark.parametrize("margin", [0.0, 0.2])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_the_loss_is_the_mean_of_logistic_terms(margin, temperature):
    rng = np.random.default_rng(3)
    fitting, trapped = rng.uniform(-1, 1, (2, 9))
    wanted = np.mean(
        [math.log1p(math.exp((t - f + margin) / temperature)) for f, t in zip(fitting, trapped, strict=True)]
    )
    loss = dissimilarity_loss(
        torch.from_numpy(fitting), torch.from_numpy(trapped), temperature, margin=margin
    )
    assert float(loss) == pytest.approx(wanted, rel=1e-9)


def test_equal_similarities_give_ln_2_and_the_gradient_separates_them():
    fitting = torch.zeros(3, requires_grad=True)
    trapped = torch.zeros(3, requires_grad=True)
    loss = dissimilarity_loss(fitting, trapped)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert (fitting.grad < 0).all() and torch.allclose(trapped.grad, -fitting.grad)


def test_half_precision_is_computed_in_float32():
    fitting, trapped = torch.tensor([[-0.9], [0.95]], dtype=torch.float16)
    loss = dissimilarity_loss(fitting, trapped, 0.01)
    # Half precision rounds the similarities, and nothing after them. Softplus of 185 is 185.
    exact = (float(trapped) - float(fitting)) / 0.01
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((3,), (4,)), {}, r"\(3,\) and trapped \(4,\)"),
        (((2, 2), (2, 2)), {}, "must be"),
        (((0,), (0,)), {}, "at least one caption"),
        (((3,), (3,)), {"temperature": 0.0}, "temperature=0.0"),
        (((3,), (3,)), {"temperature": -1.0}, "temperature=-1.0"),
        (((3,), (3,)), {"margin": 2.5}, "margin=2.5"),
    ],
)
def test_what_is_no_pair_of_similarities_is_refused(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        dissimilarity_loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]), **options)


def test_captions_fit_the_clips_that_they_name():
    captions = negated_captions(KINDS, 200)
    assert len(captions) > 100 and len({one.text for one in captions}) == len(captions)
    kind_of = {name: kind for kind, names in TRAINING.names.items() for name in bare_names(names)}
    for caption in captions:
        sounds = [kind_of[name] for name in parts_of(caption.text)]
        wanted, excluded = sounds
        fits = [place for place, own in enumerate(KINDS) if wanted in own and excluded not in own]
        traps = [place for place, own in enumerate(KINDS) if {wanted, excluded} <= set(own)]
        assert list(caption.relevant) == fits and list(caption.traps) == traps
        assert fits and traps


def test_the_same_seed_gives_the_same_captions():
    assert negated_captions(KINDS, 50, seed=4) == negated_captions(KINDS, 50, seed=4)
    assert negated_captions(KINDS, 50, seed=4) != negated_captions(KINDS, 50, seed=5)


def test_training_sentences_share_no_word_with_the_evaluated_ones():
    evaluated, trained = words_of(QUERY_KINDS["without"]), words_of(NEGATED_TEMPLATES)
    assert {"without", "no", "not"} <= evaluated
    assert not evaluated & trained


@pytest.mark.parametrize("template", QUERY_KINDS["without"])
def test_names_are_found_in_queries(template):
    query = template.format(
        a="a hit of a hammer", tag_a="hit of a hammer", b="hand claps", tag_b="hand claps"
    )
    assert names_of(query) == ("a hit of a hammer", "hand claps")
    with pytest.raises(ValueError, match="rain minus wind"):
        names_of("rain minus wind")


def test_training_with_the_loss_separates_fitting_clips_from_traps():
    """On vectors in which each sentence is free: what the towers' vectors allow is for the benchmark to say."""
    generator = torch.Generator().manual_seed(0)
    captions = [UserQuery(f"clip {place}", "caption", (place,)) for place in range(len(KINDS))]
    negated = negated_captions(KINDS, 20)
    sentences = {
        name: Sentences(torch.randn(len(some), 32, generator=generator), some)
        for name, some in {"captions": captions, "negated": negated}.items()
    }
    split = Split(torch.randn(len(KINDS), 32, generator=generator), sentences)
    start = {}
    for name in ("audio", "text"):
        start[name] = torch.nn.Linear(32, 16)
        torch.nn.init.normal_(start[name].weight, std=0.1, generator=generator)
        torch.nn.init.zeros_(start[name].bias)
    before = {name: layer.weight.clone() for name, layer in start.items()}
    pairs, gaps = {}, {}
    for weight in (None, 0.0, 1.0):
        settings = {"seed": 0, "steps": 60, "learning_rate": 1e-2, "scale": 10.0}
        trained = train(start, ("text",), split, weight, **settings)
        again = train(start, ("text",), split, weight, **settings)
        assert torch.equal(trained["text"].weight, again["text"].weight)
        assert torch.equal(trained["audio"].weight, before["audio"])
        with torch.no_grad():
            text = embedded(trained["text"], sentences["negated"].pooled)
            scores = (text @ embedded(trained["audio"], split.clips).T).numpy()
        pairs[weight] = trap_values(negated, scores).mean()
        gaps[weight] = np.mean(
            [
                row[list(one.relevant)].mean() - row[list(one.traps)].mean()
                for row, one in zip(scores, negated, strict=True)
            ]
        )
    assert torch.equal(start["text"].weight, before["text"])
    assert pairs[1.0] == 1 and pairs[None] < 0.8
    # Negated captions alone help here too, and the loss adds to them.
    assert gaps[None] < 0.1 < gaps[0.0] - gaps[None] and gaps[1.0] - gaps[0.0] > 0.1


def words_of(templates) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", " ".join(templates))))


def bare_names(names) -> list[str]:
    return [re.sub(r"^(a|an) ", "", name.partition(" | ")[0]) for name in names]


def parts_of(text: str) -> list[str]:
    """The two names of a caption, without articles."""
    for template in NEGATED_TEMPLATES:
        pattern = re.sub(r"\\\{(?:tag_)?[ab]\\\}", "(?:a |an )?(.+)", re.escape(template))
        found = re.fullmatch(pattern, text)
        if found:
            return list(found.groups())
    raise AssertionError(f"{text} is of no template")
