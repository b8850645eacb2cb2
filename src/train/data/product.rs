//! Products as training sees them: facts, words and small squares in memory.

use std::borrow::Cow;

use super::images;
use crate::domain::single_spaced;
use crate::train::net::config::NetConfig;
use crate::vision::{self, Photo};

/// What is known of a product, in the catalog's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub title: String,
    /// The Kaggle layout's articleType.
    pub category: String,
    /// Its subCategory.
    pub section: String,
    pub color: String,
    pub gender: String,
    pub usage: String,
    /// The color of the laces; `Some("none")` if it has none, `None` if nobody looked.
    pub shoelaces: Option<String>,
}

/// A product with its photo.
#[derive(Clone, Debug)]
pub struct Product {
    pub id: String,
    pub facts: Facts,
    /// The product in words, as they were prepared; without any, they are drawn from the facts.
    pub captions: Vec<String>,
    /// The value of the attribute that is to be learned, where it is known.
    pub label: Option<String>,
    /// The photo on a white square, in its [`Frame`].
    pub square: Photo,
}

/// How photos are kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Edge to which larger ones are reduced.
    pub edge: u32,
    /// Without their white margins.
    pub trim: bool,
}

impl Frame {
    /// For a model: a little more than it sees, so that a crop loses nothing.
    #[must_use]
    pub fn of(config: &NetConfig) -> Self {
        let edge = config
            .views
            .iter()
            .fold(config.image_size() * 8 / 7, |most, &edge| most.max(edge));
        Self {
            edge: u32::try_from(edge).unwrap_or(u32::MAX),
            trim: config.trim,
        }
    }

    pub(super) fn square(self, photo: &Photo) -> Photo {
        let photo = if self.trim {
            vision::trim(photo)
        } else {
            Cow::Borrowed(photo)
        };
        images::square(&photo, self.edge)
    }
}

impl Product {
    /// Whether the caption holds the product's title.
    #[must_use]
    pub fn is_named_in(&self, caption: &str) -> bool {
        // As captions are written.
        let title = single_spaced(&self.facts.title.to_lowercase());
        !title.is_empty() && caption.contains(&title)
    }
}
