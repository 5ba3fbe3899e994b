"""Patchout: what is drawn, what is kept, and that a draw hangs on its generator alone."""

import pytest
import torch
from tiny_models import tiny_audio_config

from auricle.modeling import PasstConfig, PasstModel, PatchSelection
from auricle.modeling.structured_patchout import draw_kept, draw_patch_selection, keep_patches


def generator(seed):
    return torch.Generator().manual_seed(seed)


def numbered_grid(segments, rows, columns):
    """Every patch holds (segment, row, column)."""
    axes = [torch.arange(size) for size in (segments, rows, columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=1).float()


@pytest.mark.parametrize(("count", "dropped"), [(10, 1), (10, 9), (99, 40), (2, 1)])
def test_so_many_stay_sorted_and_distinct(count, dropped):
    kept = draw_kept(count, dropped, generator(0)).tolist()
    assert len(kept) == count - dropped
    assert kept == sorted(set(kept))
    assert set(kept) <= set(range(count))


@pytest.mark.parametrize(("count", "dropped"), [(5, 0), (1, 4), (5, -1)])
def test_nothing_to_drop_draws_nothing(count, dropped):
    source = generator(3)
    before = source.get_state()
    assert draw_kept(count, dropped, source) is None
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_at_least_one_always_stays(count):
    assert len(draw_kept(count, 15, generator(0))) == 1


def test_every_item_is_dropped_about_equally_often():
    source, tally = generator(1), torch.zeros(8)
    for _ in range(2000):
        tally[draw_kept(8, 3, source)] += 1
    # 1250 expected with a standard deviation of 22
    assert (tally - 1250).abs().max() < 100


def test_the_generator_alone_decides():
    def draw(seed):
        return draw_patch_selection(
            8, 40, drop_time=15, drop_frequency=2, drop_unstructured=20, spare_time_positions=9,
            generator=generator(seed),
        )  # fmt: skip

    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = draw(5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    again = draw(5)
    for name in ("time", "frequency", "patches"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert first.time_offset == again.time_offset
    assert any(not torch.equal(draw(seed).time, first.time) for seed in range(6, 9))
    assert {draw(seed).time_offset for seed in range(120)} == set(range(10))


def test_without_a_generator_the_global_one_decides():
    torch.manual_seed(4)
    first = draw_patch_selection(8, 40, drop_time=15, drop_frequency=2)
    torch.manual_seed(4)
    again = draw_patch_selection(8, 40, drop_time=15, drop_frequency=2)
    later = draw_patch_selection(8, 40, drop_time=15, drop_frequency=2)
    assert torch.equal(first.time, again.time)
    assert not torch.equal(first.time, later.time)


def test_a_draw_has_the_sizes_asked_for():
    selection = draw_patch_selection(
        12, 99, drop_time=40, drop_frequency=4, drop_unstructured=72, generator=generator(0)
    )
    assert (len(selection.time), len(selection.frequency)) == (59, 8)
    assert len(selection.patches) == 8 * 59 - 72
    assert int(selection.patches.max()) < 8 * 59
    assert selection.time_offset == 0


@pytest.mark.parametrize(("rows", "columns", "expected"), [(1, 1, 1), (8, 3, 6), (1, 40, 25), (2, 16, 1)])
def test_short_segments_keep_something(rows, columns, expected):
    grid = numbered_grid(2, rows, columns)
    selection = draw_patch_selection(rows, columns, drop_time=15, drop_frequency=2, generator=generator(0))
    assert keep_patches(grid, selection).shape == (2, expected, 3)


def test_the_whole_batch_loses_the_same_rows_and_columns():
    selection = draw_patch_selection(6, 11, drop_time=4, drop_frequency=2, generator=generator(2))
    kept = keep_patches(numbered_grid(5, 6, 11), selection)
    expected = [[r, c] for r in selection.frequency.tolist() for c in selection.time.tolist()]
    for segment, patches in enumerate(kept.int().tolist()):
        assert [patch[0] for patch in patches] == [segment] * (4 * 7)
        assert [patch[1:] for patch in patches] == expected


def test_single_patches_are_counted_in_the_reduced_grid():
    selection = PatchSelection(torch.tensor([0, 2, 5]), torch.tensor([1, 3]), torch.tensor([0, 2, 3, 5]))
    kept = keep_patches(numbered_grid(1, 4, 6), selection)[0].int().tolist()
    assert [patch[1:] for patch in kept] == [[1, 0], [1, 5], [3, 0], [3, 5]]


def test_keeping_everything_flattens_row_after_row():
    for selection in (None, PatchSelection()):
        kept = keep_patches(numbered_grid(1, 2, 3), selection)[0].int().tolist()
        assert [patch[1:] for patch in kept] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


# ------------------------------------------------------------------------------------- inside PaSST


def tokens_entering(model, features, **arguments):
    """What the first transformer block is given, and the model's output."""
    seen = []
    handle = model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        output = model(features, **arguments)
    handle.remove()
    return seen[0], output


def passt(**overrides):
    torch.manual_seed(0)
    return PasstModel(PasstConfig(**tiny_audio_config(**overrides))).eval()


FEATURES = torch.randn(3, 100, 32, generator=torch.Generator().manual_seed(9))


def test_training_drops_and_evaluation_does_not():
    model = passt()  # 3 rows and 6 columns of patches; one row and two columns go
    entering, _ = tokens_entering(model.train(), FEATURES, generator=generator(0))
    assert entering.shape[1] == 2 + 2 * 4
    entering, output = tokens_entering(model.eval(), FEATURES)
    assert entering.shape[1] == output.last_hidden_state.shape[1] == 2 + 3 * 6
    assert torch.equal(model(FEATURES).pooler_output, model(FEATURES).pooler_output)


def test_a_training_step_hangs_on_its_generator():
    model = passt().train()
    torch.manual_seed(1)
    first = model(FEATURES, generator=generator(4)).pooler_output
    torch.manual_seed(2)
    assert torch.equal(model(FEATURES, generator=generator(4)).pooler_output, first)
    assert not torch.equal(model(FEATURES, generator=generator(5)).pooler_output, first)


def test_a_selection_is_kept_to_in_evaluation_too():
    model = passt()
    everything, _ = tokens_entering(model, FEATURES)
    selection = PatchSelection(torch.tensor([1, 4]), torch.tensor([0, 2]))
    entering, _ = tokens_entering(model, FEATURES, patch_selection=selection)
    expected = [0, 1, *(2 + row * 6 + column for row in (0, 2) for column in (1, 4))]
    assert torch.equal(entering, everything[:, expected])


def test_short_segments_take_the_first_positions_or_shifted_ones():
    model = passt(patchout_time=0, patchout_frequency=0)
    short = FEATURES[:, :52]  # three columns
    grid = model.patch_embed(short.transpose(1, 2))

    def expected(offset):
        positions = model.time_new_pos_embed[..., offset : offset + 3] + model.freq_new_pos_embed
        return (grid + positions).flatten(2).transpose(1, 2)

    entering, _ = tokens_entering(model, short)
    torch.testing.assert_close(entering[:, 2:], expected(0), rtol=0, atol=1e-6)
    entering, _ = tokens_entering(model, short, patch_selection=PatchSelection(time_offset=2))
    torch.testing.assert_close(entering[:, 2:], expected(2), rtol=0, atol=1e-6)

    model.config.random_time_offset = True
    found = set()
    for seed in range(40):
        entering, _ = tokens_entering(model.train(), short, generator=generator(seed))
        found |= {o for o in range(4) if torch.allclose(entering[:, 2:], expected(o), rtol=0, atol=1e-6)}
    assert found == {0, 1, 2, 3}
    entering, _ = tokens_entering(model.eval(), short)
    torch.testing.assert_close(entering[:, 2:], expected(0), rtol=0, atol=1e-6)


def test_training_on_segments_shorter_than_the_patchout_works():
    model = passt(patchout_time=5).train()
    entering, _ = tokens_entering(model, FEATURES[:, :40], generator=generator(0))  # two columns
    assert entering.shape[1] == 2 + 2 * 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 100, 31), r"shape \(2, 100, 31\); PaSST takes \(segments, frames, 32 mel bins\)"),
        ((100, 32), r"shape \(100, 32\)"),
        ((2, 15, 32), "15 frames a segment; this PaSST takes 16 to 111"),
        ((2, 112, 32), "112 frames a segment; this PaSST takes 16 to 111"),
    ],
)
def test_inputs_of_another_shape_are_named(shape, message):
    with pytest.raises(ValueError, match=message):
        passt()(torch.zeros(shape))
