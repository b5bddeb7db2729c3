"""What goes wrong with machines, and what is left of it: ``PYTHONPATH=. python tests/faults.py`` runs tests by fault.

Each line of the table is a fault, the tests that make it happen for real, how many passed, and how long they took.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAULTS: dict[str, tuple[str, ...]] = {
    "kill -9 while a model is fetched or converted": (
        "test_models.py::test_a_killed_conversion_leaves_nothing_that_loads",
        "test_models.py::test_an_interrupted_download_goes_on_where_it_stopped",
    ),
    "kill -9 while compressing": ("test_cli.py::test_a_killed_compress_leaves_no_directory",),
    "kill -9 at every stage of a pipeline": (
        "test_deployment.py::test_a_run_killed_at_any_stage_gives_the_same_report",
        "test_deployment.py::test_a_process_that_is_killed_leaves_nothing_in_the_way",
    ),
    "kill -9 during a search": (
        "test_deployment_search.py::test_a_search_that_is_killed_goes_on_as_if_it_had_not_been",
    ),
    "kill -9 of a sweep's workers": (
        "test_sweeping.py::test_processes_die_and_the_sweep_is_whole",
        "test_sweeping.py::test_a_unit_that_kills_every_worker_is_given_up",
    ),
    "kill -9 of a sweep": (
        "test_sweeping.py::test_a_driver_that_is_killed_goes_on",
        "test_sweeping.py::test_a_driver_that_is_killed_at_the_very_beginning_goes_on",
    ),
    "kill -9 of a node of a cluster": ("test_sweeping.py::test_two_ray_nodes_of_which_one_is_killed",),
    "kill -9 while anything is written": (
        "test_store.py::test_a_kill_leaves_nothing_and_the_next_use_cleans_up",
        "test_store.py::test_an_error_leaves_nothing",
    ),
    "disk full": (
        "test_store.py::test_a_full_disk_is_one_sentence_and_leaves_nothing",
        "test_models.py::test_a_full_disk_during_a_download",
        "test_models.py::test_a_full_disk_during_the_conversion",
        "test_pipeline.py::test_a_full_disk_leaves_nothing_behind",
        "test_streamed.py::test_a_full_disk_is_one_sentence",
    ),
    "bits flipped, files cut off or emptied in the cache": (
        "test_faults.py::test_whatever_is_damaged_in_the_cache_the_answers_stay",
        "test_faults.py::test_a_flipped_bit_in_tensors_or_in_json_is_noticed",
        "test_faults.py::test_a_folder_is_whole_by_the_hashes_that_were_noted",
        "test_faults.py::test_a_model_of_a_package_is_whole_or_is_made_again",
        "test_faults.py::test_a_copy_from_the_hub_is_whole_or_is_fetched_again",
        "test_models.py::test_a_hub_model_that_was_damaged_in_the_cache_is_fetched_again",
        "test_models.py::test_a_damaged_wheel_in_the_cache_is_fetched_again",
    ),
    "the Hub is slow, silent or away": (
        "test_models.py::test_a_download_that_never_goes_on_is_said",
        "test_models.py::test_a_slow_name_service_counts_too",
        "test_models.py::test_an_absent_hub_is_noticed_within_five_seconds",
        "test_models.py::test_an_unpinned_model_survives_the_hubs_absence",
    ),
    "the Hub answers 401, 403, 404, 5xx or nonsense": (
        "test_models.py::test_refusals_of_the_hub_are_one_sentence",
        "test_models.py::test_a_hub_that_fails_is_said_and_asked_again",
    ),
    "the Hub sends a file cut off, or another one": (
        "test_models.py::test_altered_content_is_refused",
        "test_models.py::test_a_connection_that_breaks_is_taken_up_again",
    ),
    "two processes on one cache": (
        "test_store.py::test_two_processes_starting_at_once_do_the_work_once",
        "test_faults.py::test_two_processes_find_one_damaged_model",
    ),
    "the clock jumps": ("test_faults.py::test_a_clock_that_jumps_changes_no_answer",),
}


def main() -> int:
    """Run and print the table."""
    failed = 0
    print(f"{'fault':54}{'tests':>7}{'passed':>8}{'s':>6}")
    for fault, tests in FAULTS.items():
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *(f"tests/{test}" for test in tests)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        counts = {
            what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|error|skipped)", ended.stdout)
        }
        number, passed = sum(counts.values()), counts.get("passed", 0)
        failed += number - passed or int(not number)
        print(f"{fault:54}{number:>7}{passed:>8}{time.perf_counter() - began:>6.0f}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
