"""Tests of .ci/sbom."""
import json
import tempfile
import unittest
from pathlib import Path

from test_house_rules import load

sbom = load("sbom")


class Sbom(unittest.TestCase):
    def test_crates_and_what_they_use(self):
        licenses, uses = sbom.tree([
            "0aglet v0.1.0 (/src)\tApache-2.0",
            "1one v1.0.0\tMIT/Apache-2.0",
            "2two v2.0.0+b\tMIT",
            "1three v3.0.0\tISC",
            "2one v1.0.0\tMIT/Apache-2.0 (*)",
        ])
        aglet, one, two, three = ("aglet", "0.1.0"), ("one", "1.0.0"), ("two", "2.0.0+b"), ("three", "3.0.0")
        self.assertEqual(licenses, {aglet: "Apache-2.0", one: "MIT OR Apache-2.0", two: "MIT", three: "ISC"})
        self.assertEqual(uses, {aglet: {one, three}, one: {two}, two: set(), three: {one}})

    def test_the_c_library_in_a_crate(self):
        with tempfile.TemporaryDirectory() as folder:
            header = Path(folder) / "sqlite3/sqlite3.h"
            header.parent.mkdir()
            header.write_text('#define SQLITE_VERSION        "3.51.3"\n')
            [found] = sbom.bundled(("libsqlite3-sys", "0.37.0"), Path(folder))
            self.assertEqual(found["cpe"], "cpe:2.3:a:sqlite:sqlite:3.51.3:*:*:*:*:*:*:*")
            self.assertEqual(sbom.bundled(("serde", "1.0.0"), Path(folder)), [])

    def test_what_stands_beside_the_binary(self):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            for folder in ("out", "system/var/lib/dpkg/status.d", "libraries", "small"):
                (root / folder).mkdir(parents=True)
            program = {"type": "application", "bom-ref": "program", "name": "aglet", "version": "0.1.0"}
            sbom.write(root / "out", program, [{"type": "library", "bom-ref": "a", "name": "a"}], {"program": ["a"]})
            (root / "system/var/lib/dpkg/status.d/libc6").write_text(
                "Package: libc6\nVersion: 2.36-9+deb12u1\nArchitecture: amd64\nDescription: C\n more: of it\n"
            )
            (root / "libraries/onnxruntime-1.32.0.sha256").write_text("# license: MIT\n# wheel: 01ab\n02cd  libonnxruntime.so.1\n")
            (root / "small/model.json").write_text("{}")
            sbom.image(root / "out", root / "system", root / "libraries", root / "small")
            whole = json.loads((root / "out/sbom.cdx.json").read_text())
            found = {component["name"]: component for component in whole["components"]}
            self.assertEqual(list(found), ["aglet", "libc6", "onnxruntime", "small", "a"])
            self.assertEqual(found["libc6"]["purl"], "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12")
            self.assertEqual(found["onnxruntime"]["hashes"], [{"alg": "SHA-256", "content": "01ab"}])
            self.assertEqual(found["onnxruntime"]["components"][0]["name"], "libonnxruntime.so.1")
            uses = {entry["ref"]: entry["dependsOn"] for entry in whole["dependencies"]}
            self.assertEqual(len(uses["image"]), 4)
            self.assertEqual(uses["program"], ["a"])


if __name__ == "__main__":
    unittest.main()
