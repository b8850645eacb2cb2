"""Tests of .ci/house-rules over small trees that are made up here: python3 .ci/test_house_rules.py"""
import importlib.machinery
import importlib.util
import tempfile
import unittest
from pathlib import Path


def load(name):
    path = str(Path(__file__).resolve().parent / name)
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


rules = load("house-rules")


class HouseRules(unittest.TestCase):
    def house(self, **files):
        """A house of these files: `domain__query="text"` is src/domain/query.rs."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in files.items():
            path = Path(folder.name, "src", *name.split("__")).with_suffix(".rs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return rules.House(folder.name)

    def edges(self, **files):
        return {edge: line for edge, (line, _) in self.house(**files).edges.items()}

    def test_a_circle_is_printed_whole_with_its_lines(self):
        house = self.house(
            domain__mod="pub mod a;\npub mod b;\npub mod c;\npub mod d;\n",
            domain__a="//! A.\nuse super::b::B;\npub struct A(B);\n",
            domain__b="use crate::domain::c::{self, Other, more::Deep};\npub struct B;\nfn f() { c::g() }\n",
            domain__c="pub struct Other;\n\n\nfn g() { let _ = crate::domain::a::A::new(); }\n",
            domain__d="use super::a::A;\n",
        )
        (circle,) = house.circles()
        self.assertEqual(
            circle.splitlines(),
            [
                "a circle of 3 files: domain/a.rs, domain/b.rs, domain/c.rs",
                "  domain/a.rs:2 uses domain/b.rs (super::b::B)",
                "  domain/b.rs:1 uses domain/c.rs (crate::domain::c::Other)",
                "  domain/c.rs:4 uses domain/a.rs (crate::domain::a::A::new)",
            ],
        )

    def test_a_chain_is_no_circle(self):
        house = self.house(
            domain__a="use super::{b::B, c::C};", domain__b="use super::c::C as See;", domain__c="pub struct C;"
        )
        self.assertEqual(list(house.circles()), [])
        self.assertEqual(len(house.edges), 3)

    def test_tests_comments_and_strings_do_not_count(self):
        edges = self.edges(
            lib="pub mod a;\n#[cfg(test)]\nmod checks;\n",
            checks="use crate::a::A;",
            a="// use crate::b::B;\n/* crate::b::f() */\nconst S: &str = \"crate::b::f()\";\n"
            "const R: &str = r#\"use \"crate::b::B\";\"#;\nconst C: char = '\"';\nfn f<'a>(x: &'a str) {}\n"
            "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n    fn t() { B { x: 1 } }\n}\n"
            "#[cfg(test)]\nuse crate::b::{B, f};\n#[cfg(test)]\n#[derive(Debug)]\nstruct S2(crate::b::B);\n"
            "struct D {\n    #[cfg(test)]\n    seen: crate::b::B,\n    c: u8,\n}\nfn last() { crate::c::g() }\n",
            b="pub struct B;",
            c="pub fn g() {}",
        )
        self.assertEqual(edges, {("a.rs", "c.rs"): 22})

    def test_a_re_export_leads_to_the_file_that_defines_the_item(self):
        edges = self.edges(
            domain__mod="mod product;\nmod query;\nmod old;\npub use product::{Product, Id as ProductId};\n"
            "pub use query::*;\npub use crate::util::digest::Sha;\n",
            domain__product="pub struct Product;\npub struct Id;\n",
            domain__query="pub enum Query { A }\n",
            domain__old="pub struct Lost;\n",
            util__mod="pub mod digest;\n",
            util__digest="pub struct Sha;",
            index__a="use crate::domain::ProductId;",
            index__b="fn f() { crate::domain::Query::A; }",
            index__c="use crate::domain::Unknown;",
            index__d="use crate::domain::Sha;",
        )
        self.assertEqual(
            set(edges),
            {
                ("domain/mod.rs", "util/digest.rs"),
                ("index/a.rs", "domain/product.rs"),
                ("index/b.rs", "domain/query.rs"),
                ("index/c.rs", "domain/mod.rs"),
                ("index/d.rs", "util/digest.rs"),
            },
        )

    def test_a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle(self):
        files = {
            "a__mod": "mod child;\npub use child::Child;\npub struct Parent;\n",
            "a__child": "use super::Parent;\npub struct Child;\n",
        }
        self.assertEqual(list(self.house(**files).circles()), [])
        files["a__mod"] += "fn f(child: &Child) {}\n"
        self.assertEqual(len(list(self.house(**files).circles())), 1)
        files["a__mod"] = "mod child;\npub struct Parent;\nfn f() { child::work() }\n"
        self.assertEqual(len(list(self.house(**files).circles())), 1)

    def test_an_imported_module_is_followed_to_what_is_used_of_it(self):
        edges = self.edges(
            util__mod="pub mod digest;\npub mod hex;\npub use hex::hex;\n",
            util__digest="pub fn sha() {}",
            util__hex="pub fn hex() {}",
            a="use crate::util;\nfn f() { util::digest::sha() }\n",
            b="use crate::util as u;\nfn f() { u::hex() }\n",
        )
        self.assertEqual(set(edges), {("a.rs", "util/digest.rs"), ("b.rs", "util/hex.rs")})

    def test_modules_inside_a_file_and_the_crate_of_a_binary(self):
        edges = self.edges(
            a="mod unit {\n    use super::X;\n    use super::super::b::B;\n}\nstruct X;\n",
            b="pub struct B;",
            c="pub(in crate::b) mod unit {}\npub(in crate::b) struct C;",
            bin__tool__main="mod args;\nuse args::Args;\nfn main() { aglet::b::run() }\n",
            bin__tool__args="use crate::VERSION;\npub struct Args;\n",
        )
        self.assertEqual(
            set(edges),
            {
                ("a.rs", "b.rs"),
                ("bin/tool/main.rs", "bin/tool/args.rs"),
                ("bin/tool/main.rs", "b.rs"),
                ("bin/tool/args.rs", "bin/tool/main.rs"),
            },
        )

    def test_an_arrow_that_runs_up_is_found(self):
        house = self.house(
            domain__mod="use crate::catalog::Catalog;\n",
            catalog__mod="pub struct Catalog;\nuse crate::domain;\n",
            catalog__ingest__mod="use crate::encode::Encoder;\nuse crate::http::Page;\n",
            catalog__store="use crate::encode::Encoder;\n",
            encode__mod="pub struct Encoder;\n",
            http__mod="pub struct Page;\n",
            bin__aglet__main="fn main() { aglet::train::run() }\n",
            train__mod="pub fn run() {}\n",
        )
        found = [arrow.split(" (")[0] for arrow in house.arrows()]
        self.assertEqual(
            found,
            [
                "src/bin/aglet/main.rs:1 uses train/mod.rs",
                "src/catalog/ingest/mod.rs:2 uses http/mod.rs",
                "src/catalog/store.rs:1 uses encode/mod.rs",
                "src/domain/mod.rs:1 uses catalog/mod.rs",
            ],
        )

    def test_the_table_of_rooms_has_no_arrow_up(self):
        above = {room.split("/")[0] for room in rules.ROOMS}
        floor = {"vision", "model"}
        for room in reversed(rules.ROOMS):
            used = set(rules.ROOMS[room].split())
            self.assertLessEqual(used, above, room)
            if "/" not in room and room not in floor:
                above.discard(room)

    def test_a_map_that_is_not_true_is_found(self):
        files = {
            "lib": "//! | room | what |\n//! | --- | --- |\n//! | [`a`] | a |\n",
            "a__mod": "//! | file | what |\n//! | --- | --- |\n//! | `one.rs` | 1 |\n//! | [`two`] | 2 |\n"
            "//! | [`mod@four`] | 4 |\n"
            "//!\n//! See `read.rs`.\n#[cfg(test)]\nmod tests;\n",
            "a__one": "",
            "a__four": "",
            "a__three": "",
            "a__tests": "",
            "a__deep__more": "",
        }
        self.assertEqual(
            list(self.house(**files).maps()),
            [
                "src/a/mod.rs: the map does not name deep",
                "src/a/mod.rs: the map does not name three.rs",
                "src/a/mod.rs: the map names read.rs, which is not there",
                "src/a/mod.rs: the map names two, which is not there",
                "src/a/deep/mod.rs is missing: it is the map of its folder",
            ],
        )

    def test_a_module_beside_its_folder_is_found(self):
        house = self.house(a="", a__b="")
        self.assertEqual(
            list(house.layout()), ["src/a.rs is beside a folder of its name: it belongs in it as mod.rs"]
        )

    def test_words_that_belong_in_one_file(self):
        house = self.house(index__graph="use usearch::Index;", index__plan="// usearch::Index\nuse usearch::Index;")
        self.assertEqual(list(house.texts()), ["src/index/plan.rs:2: usearch is named outside index/graph.rs"])


if __name__ == "__main__":
    unittest.main()
