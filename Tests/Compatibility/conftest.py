"""The closing line of the compatibility tests: `N passed, N failed`, and how many were skipped."""
import collections

import pytest

counts = collections.Counter()


def pytest_configure(config):
    config.addinivalue_line("markers", "changes_transformers: loads a mixture with GPTQModel, which from then on changes how transformers saves such models")


def pytest_collection_modifyitems(items):
    """What changes the clients for others comes last; each worker takes tests in this order."""
    items.sort(key=lambda item: item.get_closest_marker("changes_transformers") is not None)


def pytest_runtest_logreport(report):
    # A test may also fail, or be skipped, while its fixtures are made or taken down.
    if report.when == "call" or not report.passed:
        counts[report.outcome] += 1


def pytest_collectreport(report):
    counts["failed"] += report.failed


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
