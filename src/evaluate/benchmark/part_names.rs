//! What a document's parts are called: a short name before the names of their figures
//! (`fashion_mnist.macro_f1`), and a title for people.

use std::collections::BTreeSet;

use crate::evaluate::data::labeled_catalog::LabeledCatalog;
use crate::evaluate::data::labeled_images::LabeledImages;
use crate::evaluate::data::suite::Suite;

/// The recognition of one attribute of a catalog's products, in a comparison of models.
pub const PRETEST: &str = "pretest";
pub const RETRIEVAL: &str = "retrieval";
pub const CATALOG: &str = "catalog";

/// The name of each labeled set's part, no two alike and none that another part has: of sets that
/// are called the same, the second gets `_2`.
#[must_use]
pub fn of_labeled(sets: &[LabeledImages]) -> Vec<String> {
    let mut taken: BTreeSet<String> = [CATALOG, PRETEST, RETRIEVAL].map(str::to_owned).into();
    let mut free = |prefix: String| {
        let numbered = (2..).map(|number: u32| format!("{prefix}_{number}"));
        let found = std::iter::once(prefix.clone())
            .chain(numbered)
            .find(|name| taken.insert(name.clone()));
        found.unwrap_or(prefix)
    };
    sets.iter().map(|set| free(set.prefix())).collect()
}

/// `images`: how many of the set's are meant.
#[must_use]
pub fn labeled_title(set: &LabeledImages, images: usize) -> String {
    format!(
        "{}: {images} images, {} classes",
        set.name,
        set.classes.len()
    )
}

#[must_use]
pub fn suite_title(suite: &Suite) -> String {
    format!(
        "Retrieval suite {:?}: {} cases",
        suite.name,
        suite.cases.len()
    )
}

#[must_use]
pub fn catalog_title(catalog: &LabeledCatalog) -> String {
    format!("Catalog of {} products", catalog.products.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(name: &str) -> LabeledImages {
        let file = ("a.jpg".to_owned(), "a".to_owned(), "a.jpg".into());
        LabeledImages::of_files(name.to_owned(), vec![file])
    }

    #[test]
    fn sets_of_the_same_name_have_figures_of_their_own() {
        let names = ["own", "own", "own 2", "own", "catalog", "Pretest"];
        let sets = names.map(called);
        assert_eq!(
            of_labeled(&sets),
            ["own", "own_2", "own_2_2", "own_3", "catalog_2", "pretest_2"]
        );
    }
}
