"""Tests of .ci/dependencies."""
import unittest

from test_house_rules import load

dependencies = load("dependencies")
DENY = {
    "licenses": {"allow": ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]},
    "bans": {"deny": [{"crate": "openssl-sys"}]},
}


class Dependencies(unittest.TestCase):
    def test_what_no_code_names_is_unused(self):
        manifest = {
            "dependencies": {
                "serde-json": "1",
                "gone": "1",
                "shared": "1",
                "tensors": "1",
                "rays": {"version": "1", "optional": True},
                "derive": "1",
            },
            "dev-dependencies": {"checks": "1", "lost": "1"},
        }
        files = {
            "src/a.rs": "use serde_json::Value; // gone::f()\n#[derive(derive::Error)]\nstruct A;",
            "src/train/net.rs": "use tensors::T;\nfn f() { rays::g() }",
            "tests/it/a.rs": "use checks::x;\nfn f() { shared::f() }",
        }
        self.assertEqual(
            list(dependencies.unused(manifest, files)),
            [
                "Cargo.toml: no file of src/ names the dependency gone",
                "Cargo.toml: no file of src/ names the dependency shared",
                "Cargo.toml: only train names the dependency tensors: make it optional",
                "Cargo.toml: no file names the dependency lost of the tests",
            ],
        )

    def test_a_license_is_met_when_one_of_its_ways_is(self):
        allowed = set(DENY["licenses"]["allow"])
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ]:
            self.assertTrue(dependencies.licensed(good, allowed), good)
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND NCSA", "MIT WITH Other-exception"]:
            self.assertFalse(dependencies.licensed(bad, allowed), bad)

    def test_what_deny_toml_does_not_allow_is_found(self):
        crates = {("good", "v1"): "MIT", ("bad", "v2"): "", ("openssl-sys", "v3"): "MIT"}
        sources = {"good": dependencies.CRATES_IO, "fork": "git+https://example.org/fork"}
        self.assertEqual(
            list(dependencies.refused(crates, sources, DENY)),
            [
                "bad v2: its license (none) is not in deny.toml",
                "openssl-sys v3: banned by deny.toml",
                "fork: comes from git+https://example.org/fork, not from crates.io",
            ],
        )


if __name__ == "__main__":
    unittest.main()
