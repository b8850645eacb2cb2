//! Products and answers as clients see them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::picture::{image_url, picture_url};
use super::progress::{EmbeddingView, PictureView, parts};
use crate::catalog::{ProductProgress, StoredPicture, StoredProduct};
use crate::domain::{
    Ask, AttributeValue, Condition, KnownAttributes, Query, SortBy, SortKey, Test, ValueType, typed,
};
use crate::index::{Explanation, Facet, FacetCounts, IndexVersion};
use crate::service::{ModelName, Page};

/// Products, best first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "hits": [{"id": "100017", "score": 0.93, "picture_url": "/products/100017/pictures/2", "product": {
        "title": "Norrfold Men Red Casual Shoes", "description": null, "category": "Casual Shoes", "color": "Red",
        "brand": "Norrfold", "gender": "Men", "shoelace_color": "white", "price": 59.9, "sale_price": 47.92,
        "currency": "EUR", "created": "2026-11-29T10:00:00Z", "url": null, "image_url": "/products/100017/image",
        "attributes": {"category": ["Casual Shoes"], "color": ["Red"]}}}],
    "estimated_total": 31, "took_ms": 2.1, "model": {"name": "aglet-small", "id": "63c3e4d780f0"},
    "index_version": "1795980125796-63c3e4d780f0-w30", "words_percent": 30,
    "facets": [
        {"name": "color", "type": "text", "values": [{"value": "Red", "count": 18}, {"value": "Blue", "count": 13}], "distinct": 2},
        {"name": "current_price", "type": "number", "values": [], "distinct": 0, "min": 34.93, "max": 149.9,
         "ranges": [{"to": 50.0, "count": 4}]}],
    "query": {"q": "red shos", "corrected": "red shoes", "filters": {"current_price": ["..150"]},
        "sort": ["current_price:asc"], "limit": 1, "offset": 0}
}))]
pub struct SearchResponse {
    pub hits: Vec<Hit>,
    /// How many products are meant and match the filters: what can be paged through. With `group_by`
    /// how many groups of them. By photo, for similar products, with `mode=vector` and with
    /// `cut=none` all that match the filters are ranked.
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

/// An attribute and its values: among the products that a search finds, or of the whole catalog.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetView {
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: TypeName,
    /// The most frequent first; empty for prices and `created`.
    pub values: Vec<FacetValue>,
    /// How many values there are, those that are not listed included.
    pub distinct: usize,
    /// The least number, or date in Unix seconds; absent when no product has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub min: Option<f64>,
    /// The greatest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max: Option<f64>,
    /// The ranges asked for, in that order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<FacetRange>,
}

/// What the values of an attribute are.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ValueType)]
pub enum TypeName {
    Text,
    Number,
    Boolean,
    Date,
}

impl From<ValueType> for TypeName {
    fn from(kind: ValueType) -> Self {
        match kind {
            ValueType::Text => Self::Text,
            ValueType::Number => Self::Number,
            ValueType::Boolean => Self::Boolean,
            ValueType::Date => Self::Date,
        }
    }
}

/// A value, and how many products would be found with it chosen.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetValue {
    pub value: String,
    pub count: u64,
}

/// A range, and how many products would be found with it chosen. Dates in Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetRange {
    /// Absent when the range has no lower end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<f64>,
    pub count: u64,
}

impl FacetView {
    /// Of the whole catalog, with so many values at most.
    pub fn whole(facet: &Facet, most: usize) -> Self {
        let mut values = facet.values.clone();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(most);
        Self::from(FacetCounts {
            name: facet.name.clone(),
            kind: facet.kind,
            distinct: facet.values.len(),
            values,
            bounds: facet.bounds,
            ranges: Vec::new(),
        })
    }
}

impl From<FacetCounts> for FacetView {
    fn from(counts: FacetCounts) -> Self {
        let values = counts.values.into_iter();
        let ranges = counts.ranges.into_iter();
        let ranges = ranges.map(|(interval, count)| FacetRange {
            from: Some(interval.from).filter(|from| from.is_finite()),
            to: Some(interval.to).filter(|to| to.is_finite()),
            count,
        });
        Self {
            name: counts.name.to_string(),
            kind: counts.kind.into(),
            values: values
                .map(|(value, count)| FacetValue { value, count })
                .collect(),
            distinct: counts.distinct,
            min: counts.bounds.map(|(min, _)| min),
            max: counts.bounds.map(|(_, max)| max),
            ranges: ranges.collect(),
        }
    }
}

/// The products with the same value of the attribute `group_by`.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupView {
    pub value: String,
    /// How many of them are meant and match the filters.
    pub products: u64,
}

/// Why a product is where it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// In words: how much of the query the product covers, 0 to 1; 2 when it is what the query names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub coverage: Option<f32>,
    /// In words and vectors: where the cosine lies between the mean of the catalog (0) and the nearest
    /// product (1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nearness: Option<f32>,
    /// Between the query's and the product's embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cosine: Option<f32>,
    /// By photo: the share of the votes that the product's category has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub votes: Option<f32>,
    /// The parts of the query in words that the product matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartView>,
}

/// How a product matches a part of a query in words.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartView {
    /// As it was understood.
    pub text: String,
    /// The share of the part in the query; all parts together are 1.
    pub weight: f32,
    /// How strongly the product matches it, 0 to 1.
    pub strength: f32,
}

impl From<Explanation> for ExplanationView {
    fn from(explanation: Explanation) -> Self {
        let parts = explanation.parts.into_iter().map(|part| PartView {
            text: part.text,
            weight: part.weight,
            strength: part.strength,
        });
        Self {
            coverage: explanation.coverage,
            nearness: explanation.nearness,
            cosine: explanation.cosine,
            votes: explanation.votes,
            parts: parts.collect(),
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
    /// With `group_by`: the products that this one stands for; absent when it has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<GroupView>,
    /// With `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub explanation: Option<ExplanationView>,
    /// Where the product's picture is that is nearest to the query; null where words alone decided, or
    /// when it cannot be shown. `image_url` of the product is its first picture.
    #[schema(required)]
    pub picture_url: Option<String>,
    pub product: ProductView,
}

/// One product with its id, its pictures, and how far it is embedded.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductDocument {
    pub id: String,
    pub product: ProductView,
    /// In their order.
    pub pictures: Vec<PictureView>,
    /// Of its title and the attributes that describe it.
    pub words: EmbeddingView,
}

impl ProductDocument {
    pub fn new(
        stored: StoredProduct,
        progress: ProductProgress,
        known: &KnownAttributes,
        public_url: &str,
    ) -> Self {
        let (pictures, words) = parts(&stored, progress, public_url);
        Self {
            id: stored.product.id.to_string(),
            product: ProductView::new(stored, known, public_url),
            pictures,
            words,
        }
    }
}

/// A product. Attributes that the service is set up to know (`category`, `color`, `brand`, `gender` and
/// `shoelace_color` by default) stand beside the title with their first value.
#[derive(Debug, Serialize)]
pub struct ProductView {
    pub title: String,
    pub description: Option<String>,
    #[serde(flatten)]
    pub known: BTreeMap<String, Option<String>>,
    /// In `currency`.
    pub price: Option<f64>,
    /// What is asked for now in place of the price, in `currency`.
    pub sale_price: Option<f64>,
    /// As ISO 4217 writes it (`EUR`); null: the shop's own.
    pub currency: Option<String>,
    /// When the shop got the product, or the catalog where the shop does not say: RFC 3339.
    pub created: Option<String>,
    /// The product's page in the shop.
    pub url: Option<String>,
    /// Where its first picture is that can be shown: on the web, or relative to this service unless it
    /// is set up with a public address. Where the service is set up so, an address that is valid for
    /// an hour.
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
    #[schema(required)]
    description: Option<String>,
    /// In `currency`.
    #[schema(required)]
    price: Option<f64>,
    /// What is asked for now in place of the price, in `currency`.
    #[schema(required)]
    sale_price: Option<f64>,
    /// As ISO 4217 writes it (`EUR`); null: the shop's own.
    #[schema(required)]
    currency: Option<String>,
    /// When the shop got the product, or the catalog where the shop does not say: RFC 3339.
    #[schema(required)]
    created: Option<String>,
    /// The product's page in the shop.
    #[schema(required)]
    url: Option<String>,
    /// Where its first picture is that can be shown: on the web, or relative to this service unless it
    /// is set up with a public address. Where the service is set up so, an address that is valid for
    /// an hour.
    #[schema(required)]
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
    /// Words that the catalog does not hold and that were not corrected: they count for nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_words: Vec<String>,
    /// The product that was compared with, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similar_to: Option<String>,
    /// The size of the photo in bytes, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<usize>,
    /// Attribute -> values of which one must be the product's, in lower case as they are compared;
    /// ranges as `50..100`, `*` for any value.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Attribute -> the same that must not be the product's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded_values: BTreeMap<String, Vec<String>>,
    /// What the products are sorted by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<String>,
    /// What they are grouped by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group_by: Option<String>,
    pub limit: usize,
    pub offset: usize,
    /// Products that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl QueryEcho {
    /// The words.
    pub fn q(&self) -> Option<&str> {
        self.q.as_deref()
    }

    pub fn of(query: &Query) -> Self {
        let tests = |of: fn(&Condition) -> &BTreeSet<Test>| {
            let filters = query.filters.iter().map(|(name, condition)| {
                let tests = of(condition).iter().map(ToString::to_string);
                (name.to_string(), tests.collect::<Vec<String>>())
            });
            filters.filter(|(_, tests)| !tests.is_empty()).collect()
        };
        let key = |key: &SortKey| match &key.by {
            SortBy::Relevance => "relevance".to_owned(),
            SortBy::Attribute(name) => {
                format!("{name}:{}", if key.descending { "desc" } else { "asc" })
            }
        };
        let mut echo = Self {
            q: None,
            corrected: None,
            unknown_words: Vec::new(),
            similar_to: None,
            image_bytes: None,
            filters: tests(|condition| &condition.any),
            excluded_values: tests(|condition| &condition.none),
            sort: query.order.keys.iter().map(key).collect(),
            group_by: query.order.group_by.as_ref().map(ToString::to_string),
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
        query.unknown_words = page.unknown;
        let hits = page.hits.into_iter().map(|hit| Hit {
            id: hit.product.product.id.to_string(),
            score: hit.score,
            group: hit.group.map(|group| GroupView {
                value: group.value,
                products: group.products,
            }),
            explanation: hit.explanation.map(Into::into),
            picture_url: nearest(&hit.product, hit.picture, public_url),
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

/// Where the picture of this number is.
fn nearest(stored: &StoredProduct, number: Option<u8>, public_url: &str) -> Option<String> {
    let of_number = |picture: &&StoredPicture| Some(picture.number) == number;
    let picture = stored.pictures.iter().find(of_number)?;
    picture_url(&stored.product.id, picture, public_url)
}

impl ProductView {
    pub fn new(stored: StoredProduct, known: &KnownAttributes, public_url: &str) -> Self {
        let product = stored.product;
        let image_url = image_url(&product.id, &stored.pictures, public_url);
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
            sale_price: product.sale_price,
            currency: product.currency,
            created: product.created.and_then(typed::date_text),
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
            pictures: vec![StoredPicture {
                number: 1,
                address: None,
                shown: true,
                kept: None,
                link: None,
            }],
            version: 0,
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
    fn a_picture_is_where_it_is() {
        let mut stored = stored("7");
        let picture = |number, address: Option<&str>, shown| StoredPicture {
            number,
            address: address.map(str::to_owned),
            shown,
            kept: None,
            link: None,
        };
        let address = "https://cdn.example/3.jpg";
        stored.pictures = vec![
            picture(1, None, false),
            picture(3, Some(address), true),
            picture(4, None, true),
            picture(5, Some("https://cdn.example/5.jpg"), false),
        ];
        let url = |number| nearest(&stored, number, "https://api.example");
        assert_eq!(url(Some(3)).as_deref(), Some(address));
        assert_eq!(
            url(Some(4)).as_deref(),
            Some("https://api.example/products/7/pictures/4")
        );
        // Not decoded, none of this number, and no picture asked for.
        assert_eq!((url(Some(5)), url(Some(2)), url(None)), (None, None, None));
        let signed = "https://bucket.example/ab/abcd?X-Amz-Signature=1";
        stored.pictures[2].link = Some(signed.to_owned());
        let url = |number| nearest(&stored, number, "https://api.example");
        assert_eq!(url(Some(4)).as_deref(), Some(signed));
        let first = ProductView::new(stored, &KnownAttributes::default(), "");
        assert_eq!(first.image_url.as_deref(), Some(address));
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
