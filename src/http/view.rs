//! Products and answers as clients see them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::params::Asked;
use super::state::AppState;
use crate::catalog::StoredProduct;
use crate::domain::{AttributeValue, ProductId};
use crate::search::IndexVersion;

/// Products, best first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchResponse {
    pub hits: Vec<Hit>,
    /// How many products match the filters. All of them are ranked and none is cut off by its
    /// score, so this counts what can be paged through.
    pub estimated_total: usize,
    /// From the whole request to the answer, in milliseconds.
    pub took_ms: f64,
    pub model: ModelInfo,
    /// Changes with the catalog, the model or the way products are embedded.
    pub index_version: String,
    /// How much of each product's vector is made of its words, in percent; the rest is its picture.
    pub words_percent: u8,
    pub query: QueryEcho,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Hit {
    pub id: String,
    /// Cosine similarity of the query and the product, -1 to 1; for a photo raised where the
    /// nearest products are of the same category. Comparable within one model and one kind of query
    /// only.
    pub score: f32,
    pub product: ProductView,
}

/// One product with its id.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductDocument {
    pub id: String,
    pub product: ProductView,
}

/// A product. `category`, `color`, `gender` and `shoelace_color` repeat the first value of the
/// attribute.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductView {
    pub title: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub color: Option<String>,
    pub gender: Option<String>,
    pub shoelace_color: Option<String>,
    /// In the shop's own currency.
    pub price: Option<f64>,
    /// The product's page in the shop.
    pub url: Option<String>,
    /// Where its picture is; relative to this service unless it is set up with a public address.
    pub image_url: Option<String>,
    /// Every attribute with its values.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// The model that made the embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ModelInfo {
    pub name: String,
    /// Names the exact weights and preprocessing.
    pub id: String,
}

/// The request as it was understood.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueryEcho {
    /// The words, when there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// The product that was compared with, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similar_to: Option<String>,
    /// The size of the photo in bytes, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<usize>,
    /// Attribute -> values, in lower case as they are compared.
    pub filters: BTreeMap<String, Vec<String>>,
    pub limit: usize,
    pub offset: usize,
    /// Products that were not to come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl QueryEcho {
    pub fn new(asked: &Asked) -> Self {
        let filters = asked
            .filters
            .iter()
            .map(|(n, v)| (n.to_string(), v.iter().cloned().collect()))
            .collect();
        let (limit, offset) = (asked.window.limit(), asked.window.offset());
        let exclude = asked.exclude.iter().map(ToString::to_string).collect();
        Self {
            q: None,
            similar_to: None,
            image_bytes: None,
            filters,
            limit,
            offset,
            exclude,
        }
    }
}

impl ModelInfo {
    pub fn of(state: &AppState) -> Self {
        Self {
            name: state.encoder.model_name().to_owned(),
            id: state.encoder.model_id().to_string(),
        }
    }
}

impl ProductView {
    pub fn new(stored: StoredProduct, public_url: &str) -> Self {
        let image_url = stored.image.is_some().then(|| {
            format!(
                "{public_url}/products/{}/image",
                path_segment(&stored.product.id)
            )
        });
        let product = stored.product;
        let first = |name: &str| product.attribute(name).map(str::to_owned);
        let values =
            |values: &Vec<AttributeValue>| values.iter().map(ToString::to_string).collect();
        Self {
            category: first("category"),
            color: first("color"),
            gender: first("gender"),
            shoelace_color: first("shoelace_color"),
            attributes: product
                .attributes
                .iter()
                .map(|(n, v)| (n.to_string(), values(v)))
                .collect(),
            title: product.title,
            description: product.description,
            price: product.price,
            url: product.url,
            image_url,
        }
    }
}

pub fn index_version(version: &IndexVersion) -> String {
    format!(
        "{}-{}-w{}",
        version.catalog,
        version.model.short(),
        version.words_percent
    )
}

/// The id as one segment of a path: everything but RFC 3986's unreserved characters is escaped.
fn path_segment(id: &ProductId) -> String {
    let mut segment = String::with_capacity(id.as_str().len());
    for byte in id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            for nibble in [byte >> 4, byte & 15] {
                segment.push(
                    char::from_digit(u32::from(nibble), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase(),
                );
            }
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ImageSource;
    use crate::domain::{AttributeName, Product, ProductKey};

    fn stored(id: &str) -> StoredProduct {
        let mut product = Product::new(ProductId::new(id).expect("id"), "Oxford").expect("title");
        let value = |v: &str| AttributeValue::new(v).expect("value");
        let name = |n: &str| AttributeName::new(n).expect("name");
        product
            .attributes
            .insert(name("color"), vec![value("Black"), value("Brown")]);
        StoredProduct {
            key: ProductKey(7),
            product,
            image: Some(ImageSource::File("/srv/pictures/7.jpg".into())),
        }
    }

    #[test]
    fn a_product_shows_its_first_color_and_no_path_of_the_server() {
        let json = serde_json::to_value(ProductView::new(stored("7"), "")).expect("serializes");
        assert_eq!(json["color"], "Black");
        assert_eq!(
            json["attributes"]["color"],
            serde_json::json!(["Black", "Brown"])
        );
        assert_eq!(json["image_url"], "/products/7/image");
        assert!(json["price"].is_null() && json["shoelace_color"].is_null());
        assert!(!json.to_string().contains("srv"));
    }

    #[test]
    fn ids_become_one_path_segment() {
        let url = |id| {
            ProductView::new(stored(id), "https://api.example")
                .image_url
                .expect("has a picture")
        };
        assert_eq!(
            url("a/b c?#"),
            "https://api.example/products/a%2Fb%20c%3F%23/image"
        );
        assert_eq!(url("é"), "https://api.example/products/%C3%A9/image");
    }
}
