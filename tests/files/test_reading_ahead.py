"""Results in the order of the items, few of them at a time, whatever thread is done first."""

import threading
import time

import pytest

from auricle.files.reading_ahead import read_ahead


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_results_come_in_order_though_the_first_take_longest(num_workers):
    def read(number):
        time.sleep(0.02 * (3 - number % 4))
        return number * number

    assert list(read_ahead(read, range(12), num_workers)) == [number * number for number in range(12)]


def test_several_items_are_read_at_once():
    both = threading.Barrier(2, timeout=10)

    def read(number):
        both.wait()
        return number

    assert list(read_ahead(read, range(4), 2)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("num_workers", "ahead", "most"), [(0, None, 1), (2, None, 3), (2, 8, 8)])
def test_items_are_taken_as_they_are_needed(num_workers, ahead, most):
    taken, used = [], 0
    results = read_ahead(str, (taken.append(n) or n for n in range(50)), num_workers, ahead=ahead)
    for result in results:
        used += 1
        assert result == str(used - 1)
        assert len(taken) - used < most
    assert used == 50


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_is_raised_in_its_place_and_what_waits_is_dropped(num_workers):
    begun = []

    def read(number):
        begun.append(number)
        if number == 2:
            raise ValueError("number 2")
        return number

    results = read_ahead(read, range(100), num_workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="number 2"):
        next(results)
    assert len(begun) < 10
    assert not [one for one in threading.enumerate() if one.name.startswith("reading")]


def test_leaving_early_ends_the_threads():
    results = read_ahead(str, range(1000), 3)
    assert next(results) == "0"
    results.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("reading")]
