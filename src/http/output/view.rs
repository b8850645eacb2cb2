//! Products and answers as clients see them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::StoredProduct;
use crate::domain::{Ask, AttributeValue, KnownAttributes, Query};
use crate::index::{FacetCounts, IndexVersion};
use crate::service::{ModelName, Page};
use crate::util::percent;

/// Products, best first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchResponse {
    pub hits: Vec<Hit>,
    /// How many products are meant and match the filters: what can be paged through. By photo, for
    /// similar products, with `mode=vector` and with `cut=none` all that match the filters are
    /// ranked.
    pub estimated_total: usize,
    /// From the whole request to the answer, in milliseconds.
    pub took_ms: f64,
    pub model: ModelInfo,
    /// Changes with the catalog, the model or the way products are embedded.
    pub index_version: String,
    /// Share of the words in the products' vectors, in percent; the photo has the rest.
    pub words_percent: u8,
    /// The attributes of `facets`, in that order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facets: Vec<FacetView>,
    pub query: QueryEcho,
}

/// An attribute's values among the products that are found.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetView {
    pub name: String,
    /// The most frequent first.
    pub values: Vec<FacetValue>,
    /// How many values there are, those that are not listed included.
    pub distinct: usize,
}

/// A value, and how many products would be found with it chosen.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetValue {
    pub value: String,
    pub count: u64,
}

impl From<FacetCounts> for FacetView {
    fn from(counts: FacetCounts) -> Self {
        let values = counts.values.into_iter();
        Self {
            name: counts.name.to_string(),
            values: values
                .map(|(value, count)| FacetValue { value, count })
                .collect(),
            distinct: counts.distinct,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Hit {
    pub id: String,
    /// In words 0 to 1, by how much of the query the product covers and how near it is; above 1 for
    /// a product whose article number or title the query is. By photo, for similar products and with
    /// `mode=vector` the cosine similarity, -1 to 1; for a photo raised where the nearest products
    /// are of the same category. Comparable within one answer only.
    pub score: f32,
    pub product: ProductView,
}

/// One product with its id.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductDocument {
    pub id: String,
    pub product: ProductView,
}

/// A product. Attributes that the service is set up to know (`category`, `color`, `brand`, `gender` and
/// `shoelace_color` by default) stand beside the title with their first value.
#[derive(Debug, Serialize)]
pub struct ProductView {
    pub title: String,
    pub description: Option<String>,
    #[serde(flatten)]
    pub known: BTreeMap<String, Option<String>>,
    /// In the shop's own currency.
    pub price: Option<f64>,
    /// The product's page in the shop.
    pub url: Option<String>,
    /// Where its picture is; relative to this service unless it is set up with a public address.
    pub image_url: Option<String>,
    /// Every attribute with its values.
    pub attributes: BTreeMap<String, Vec<String>>,
}

// As OpenAPI describes it; the document adds the known attributes, which are settings.
/// A product. Attributes that the service is set up to know stand beside the title with their first
/// value.
#[derive(ToSchema)]
#[schema(as = ProductView)]
#[expect(dead_code, reason = "describes the product in the OpenAPI document")]
struct ProductViewSchema {
    title: String,
    description: Option<String>,
    /// In the shop's own currency.
    price: Option<f64>,
    /// The product's page in the shop.
    url: Option<String>,
    /// Where its picture is; relative to this service unless it is set up with a public address.
    image_url: Option<String>,
    /// Every attribute with its values.
    attributes: BTreeMap<String, Vec<String>>,
}

impl utoipa::PartialSchema for ProductView {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        ProductViewSchema::schema()
    }
}

impl ToSchema for ProductView {}

/// The model that made the embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ModelInfo {
    pub name: String,
    /// Names the exact weights and preprocessing.
    pub id: String,
}

impl From<ModelName> for ModelInfo {
    fn from(model: ModelName) -> Self {
        let id = model.id.to_string();
        Self {
            name: model.name,
            id,
        }
    }
}

/// The request as it was understood.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueryEcho {
    /// The words, when there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// The words as they were understood, when slips were corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
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
    /// Products that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl QueryEcho {
    pub fn of(query: &Query) -> Self {
        let filters = query.filters.iter();
        let mut echo = Self {
            q: None,
            corrected: None,
            similar_to: None,
            image_bytes: None,
            filters: filters
                .map(|(name, values)| (name.to_string(), values.iter().cloned().collect()))
                .collect(),
            limit: query.window.limit(),
            offset: query.window.offset(),
            exclude: query.exclude.iter().map(ToString::to_string).collect(),
        };
        match &query.ask {
            Ask::All => {}
            Ask::Words(text) => echo.q = Some(text.as_str().to_owned()),
            Ask::Photo(file) => echo.image_bytes = Some(file.len()),
            Ask::Like(id) => echo.similar_to = Some(id.to_string()),
        }
        echo
    }
}

impl SearchResponse {
    pub fn new(
        page: Page,
        mut query: QueryEcho,
        took: Duration,
        known: &KnownAttributes,
        public_url: &str,
    ) -> Self {
        query.corrected = page.corrected;
        let hits = page.hits.into_iter().map(|hit| Hit {
            id: hit.product.product.id.to_string(),
            score: hit.score,
            product: ProductView::new(hit.product, known, public_url),
        });
        Self {
            hits: hits.collect(),
            estimated_total: page.total,
            took_ms: milliseconds(took),
            model: page.model.into(),
            index_version: index_version(&page.index),
            words_percent: page.index.words_percent,
            facets: page.facets.into_iter().map(Into::into).collect(),
            query,
        }
    }
}

impl ProductView {
    pub fn new(stored: StoredProduct, known: &KnownAttributes, public_url: &str) -> Self {
        let product = stored.product;
        let image_url = stored.has_picture.then(|| {
            format!(
                "{public_url}/products/{}/image",
                percent::encode(product.id.as_str())
            )
        });
        let first = |name: &str| product.attribute(name).map(str::to_owned);
        let values =
            |values: &Vec<AttributeValue>| values.iter().map(ToString::to_string).collect();
        Self {
            known: known
                .shown
                .iter()
                .map(|name| (name.to_string(), first(name.as_str())))
                .collect(),
            attributes: product
                .attributes
                .iter()
                .map(|(name, all)| (name.to_string(), values(all)))
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

/// With three decimal places.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttributeName, Product, ProductId, ProductKey};

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
            has_picture: true,
        }
    }

    #[test]
    fn a_product_shows_its_first_color() {
        let json = serde_json::to_value(ProductView::new(
            stored("7"),
            &KnownAttributes::default(),
            "",
        ))
        .expect("serializes");
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
            ProductView::new(
                stored(id),
                &KnownAttributes::default(),
                "https://api.example",
            )
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
