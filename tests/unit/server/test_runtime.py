"""The running server's share of the process."""

import gc

from sottovoce.server.runtime import COLLECTOR_THRESHOLDS, calm_garbage_collector


def test_what_the_start_made_is_not_looked_through_again() -> None:
    before = gc.get_threshold()
    try:
        calm_garbage_collector()
        assert gc.get_threshold() == COLLECTOR_THRESHOLDS
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
