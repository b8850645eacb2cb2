"""Tests of .ci/count-tests."""
import unittest

from test_house_rules import load

count = load("count-tests").count

CARGO = """
test a ... ok
test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s
test result: FAILED. 9 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
"""


class CountTests(unittest.TestCase):
    def test_all_binaries_add_up(self):
        self.assertEqual(count(CARGO, ""), (49, 1, 2, []))

    def test_a_test_without_its_data_is_skipped_and_not_passed(self):
        skipped = "skipped b: no data at /x\nskipped a: Chromium is not installed\nskipped a: Chromium is not installed\n"
        reasons = ["skipped a: Chromium is not installed", "skipped b: no data at /x"]
        self.assertEqual(count(CARGO, skipped), (47, 1, 4, reasons))

    def test_python_tests_count_too(self):
        self.assertEqual(count("", "", "Ran 12 tests in 0.1s\n\nOK\n")[:3], (12, 0, 0))
        failed = "Ran 12 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)\n"
        self.assertEqual(count("", "", failed)[:3], (6, 3, 3))


if __name__ == "__main__":
    unittest.main()
