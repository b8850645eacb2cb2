//! How much the catalog benchmark asks, and which products may answer.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::Filters;
use crate::evaluate::data::labeled_catalog::{LabeledCatalog, LabeledProduct};
use crate::util::digest::hex;
use crate::util::random::Random;

/// The attribute that says what a product is.
pub(super) const CATEGORY: &str = "category";

/// Which products may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// The products that questions are made of: the held-out tenth, or a data set's side.
    HeldOut,
    /// The whole catalog.
    All,
}

#[derive(Clone, Debug)]
pub struct CatalogOptions {
    pub among: Among,
    /// Questions of each form in words, at most.
    pub questions: usize,
    /// Photos that are asked, at most.
    pub photos: usize,
    /// Titles that are asked, at most.
    pub titles: usize,
    pub seed: u64,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self {
            among: Among::All,
            questions: 100,
            photos: 500,
            titles: 500,
            seed: 1,
        }
    }
}

impl CatalogOptions {
    /// The products that may answer: all that a folder's engine needs to embed. Only these then
    /// vote on what a photo shows, where in a service the whole catalog does.
    #[must_use]
    pub fn answering(&self, catalog: &LabeledCatalog) -> LabeledCatalog {
        match self.among {
            Among::HeldOut => catalog
                .clone()
                .only(&Filters::default(), |p| catalog.asks(&p.id)),
            Among::All => catalog.clone(),
        }
    }

    /// The held-out products whose photos are asked, and those whose titles are.
    pub(super) fn asked<'a>(
        &self,
        catalog: &'a LabeledCatalog,
    ) -> (Vec<&'a LabeledProduct>, Vec<&'a LabeledProduct>) {
        let can = |labeled: &&LabeledProduct| {
            catalog.asks(&labeled.product.id)
                && labeled.image.is_some()
                && labeled
                    .product
                    .attributes
                    .keys()
                    .any(|name| name.as_str() == CATEGORY)
        };
        let all: Vec<&LabeledProduct> = catalog.products.iter().filter(can).collect();
        let mut random = Random::new(self.seed);
        let photos = random.sample(&all, self.photos);
        (photos, random.sample(&all, self.titles))
    }

    /// Names the catalog's products and these options: results are compared only where both are the
    /// same. Pictures do not count, so that a catalog has the same name on two machines
    /// ([`LabeledCatalog::pictures_stamp`] tells them apart on one).
    #[must_use]
    pub fn data_sha256(&self, catalog: &LabeledCatalog) -> String {
        let Self {
            among,
            questions,
            photos,
            titles,
            seed,
        } = self;
        let mut digest = Sha256::new();
        // Results that were kept are found by this text: it stays as it is.
        digest.update(format!(
            "Plan {{ among: {among:?}, questions: {questions}, photos: {photos}, titles: {titles}, seed: {seed} }} {}",
            catalog.is_data_set
        ));
        for product in catalog.bare() {
            digest.update(format!(
                "{:?} {:?} {:?}\n",
                product.id, product.title, product.attributes
            ));
        }
        hex(&digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A baseline of an earlier version must be recognized as measured on the same data.
    #[test]
    fn the_name_of_the_data_never_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = r#"{"id": "7", "title": "Red Shoe", "attributes": {"color": "Red"}}"#;
        std::fs::write(folder.path().join("products.jsonl"), line).expect("written");
        let catalog = LabeledCatalog::at(folder.path(), &[], None).expect("a catalog");
        let text = "Plan { among: All, questions: 100, photos: 500, titles: 500, seed: 1 } false\
            ProductId(\"7\") \"Red Shoe\" {AttributeName(\"color\"): [AttributeValue(\"Red\")]}\n";
        assert_eq!(
            CatalogOptions::default().data_sha256(&catalog),
            crate::util::digest::sha256_hex(text.as_bytes())
        );
    }
}
