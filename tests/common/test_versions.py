"""Versions of packages."""

import numpy as np

from common.versions import package_versions


def test_versions_are_by_package_and_a_package_that_is_not_there_is_absent():
    found = package_versions(("numpy", "no-such-package"))
    assert found == {"numpy": np.__version__, "no-such-package": "absent"}
