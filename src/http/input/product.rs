//! Products as they are written: a JSON object, a patch of one, or a line of many.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::body::{essence, parse, read_json, uncompressed};
use super::json::{OneOrMany, text_or_texts};
use super::lines::{BodyLine, LONGEST_LINE};
use super::params::{IdPath, Pairs, RawQuery};
use super::schema;
use crate::domain::{Conditions, Filters, ProductId, Write, WriteOp, is_parameter};
use crate::http::output::error::{ApiError, short};
use crate::http::state::{AppState, HttpOptions};

/// A product, all of it: what is left out it does not have. Fields that are not named here are ignored
/// and named in the answer.
#[derive(ToSchema)]
#[schema(example = json!({
    "title": "Norrfold Men Red Casual Shoes", "description": "Canvas, with a sole of rubber.", "price": 59.9,
    "sale_price": 47.92, "currency": "EUR", "created": "2026-11-29", "url": "https://shop.example/100017",
    "attributes": {"category": "Casual Shoes", "color": ["Red", "White"], "gender": "Men"}
}))]
#[expect(
    dead_code,
    reason = "describes the product in the OpenAPI document; the catalog reads it"
)]
pub struct ProductInput {
    /// May be left out where the address has it, and must be the same.
    #[schema(max_length = 128)]
    id: Option<String>,
    /// 1 to 1,000 characters.
    #[schema(min_length = 1, max_length = 1000)]
    title: String,
    #[schema(max_length = 20_000)]
    description: Option<String>,
    #[schema(minimum = 0)]
    price: Option<f64>,
    /// What is asked for now in place of the price.
    #[schema(minimum = 0)]
    sale_price: Option<f64>,
    /// As ISO 4217 writes it: `EUR`.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// When the shop got the product: a day, or a time as RFC 3339 writes it. When it is left out, what
    /// is known stays; a new product is of now.
    created: Option<String>,
    /// The product's page in the shop.
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// What variants of one product share, such as its sizes: it becomes the attribute `style`.
    #[schema(max_length = 256)]
    style: Option<String>,
    /// Where its picture is on the web: `https://cdn.shop.example/1.jpg`. The setting `picture_hosts`
    /// names the hosts. An address is fetched once: another picture needs another address, or an import that asks again.
    #[schema(max_length = 2048)]
    image: Option<String>,
    /// Where its pictures are on the web, in their order: numbers 1, 2, ... An `image` comes before
    /// them; 32 in all. When both are left out, the product keeps its pictures; `[]` removes them.
    #[schema(max_items = 32)]
    images: Option<Vec<String>>,
    /// Name -> value or values of 1 to 256 characters. Names are lowered, and their spaces and hyphens
    /// become `_`.
    attributes: Option<BTreeMap<String, OneOrMany>>,
}

/// What changes of a product (RFC 7396): a field that is left out stays, null removes it. Attributes
/// are merged one by one.
#[derive(ToSchema)]
#[schema(example = json!({"price": 49.9, "sale_price": null, "attributes": {"color": ["Red"], "season": null}}))]
#[expect(
    dead_code,
    reason = "describes the patch in the OpenAPI document; the catalog reads it"
)]
pub struct ProductPatch {
    /// Must be that of the address.
    #[schema(max_length = 128)]
    id: Option<String>,
    #[schema(min_length = 1, max_length = 1000, nullable = false)]
    title: Option<String>,
    #[schema(max_length = 20_000)]
    description: Option<String>,
    #[schema(minimum = 0)]
    price: Option<f64>,
    #[schema(minimum = 0)]
    sale_price: Option<f64>,
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// Null leaves it as it is.
    created: Option<String>,
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// In place of the attribute `style`; null leaves it as it is.
    #[schema(max_length = 256)]
    style: Option<String>,
    /// The address of its one picture, in place of all that it has; null removes all of them.
    #[schema(max_length = 2048)]
    image: Option<String>,
    /// The addresses of its pictures, in place of all that it has; `[]` or null removes all of them.
    #[schema(max_items = 32)]
    images: Option<Vec<String>>,
    /// Name -> value or values; null removes the attribute.
    attributes: Option<BTreeMap<String, AttributePatch>>,
}

/// What a patch makes of an attribute.
pub struct AttributePatch(
    #[expect(dead_code, reason = "describes the value in the OpenAPI document")] Option<OneOrMany>,
);

/// By hand: the derive takes no value that may be null into a map.
impl utoipa::PartialSchema for AttributePatch {
    fn schema() -> RefOr<Schema> {
        let schema = text_or_texts().description(Some(
            "`\"Black\"` or `[\"Black\", \"Brown\"]`; null removes the attribute.",
        ));
        RefOr::T(Schema::AnyOf(schema.build()))
    }
}

impl ToSchema for AttributePatch {}

/// Whether the answer waits until the index holds what was written: `wait=searchable`.
#[derive(Clone, Copy)]
pub struct Wait(pub bool);

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let pairs = Pairs::from_request_parts(parts, state).await?;
        match only("wait", pairs)?.as_deref() {
            None => Ok(Self(false)),
            Some("searchable") => Ok(Self(true)),
            Some(_) => Err(ApiError::parameter("wait", "the one value is searchable")),
        }
    }
}

/// The products of a list.
pub struct Listed {
    /// The list begins behind this one: `after=ID`.
    pub after: Option<ProductId>,
    /// As a search takes them.
    pub filters: Filters,
}

impl FromRequestParts<AppState> for Listed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let pairs = Pairs::from_request_parts(parts, state).await?;
        let (mut after, mut raw) = (None, RawQuery::new(false));
        for (name, value) in pairs.0 {
            match name.as_str() {
                "after" if after.is_some() => return Err(ApiError::RepeatedParameter { name }),
                "after" => after = Some(value),
                schema::FILTER => raw.add(name, value)?,
                known if is_parameter(known) => return Err(no_such_parameter(known)),
                _ => raw.add(name, value)?,
            }
        }
        let after = after.map(|id| ProductId::new(&id)).transpose();
        Ok(Self {
            after: after.map_err(|error| ApiError::value("after", &error))?,
            filters: raw.filters(&state.service)?,
        })
    }
}

/// The value of the one parameter that there may be.
fn only(name: &str, pairs: Pairs) -> Result<Option<String>, ApiError> {
    let mut only = None;
    for (given, value) in pairs.0 {
        if given != name {
            return Err(no_such_parameter(&given));
        }
        if only.replace(value).is_some() {
            return Err(ApiError::RepeatedParameter { name: given });
        }
    }
    Ok(only)
}

fn no_such_parameter(name: &str) -> ApiError {
    ApiError::parameter(short(name), "there is no such parameter")
}

/// The body of a PUT.
pub struct ProductBody(pub Map<String, Value>);

/// The body of a PATCH.
pub struct PatchBody(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for ProductBody
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if essence(request.headers()) != "application/json" {
            let expected = "application/json";
            return Err(ApiError::UnsupportedMediaType { expected });
        }
        uncompressed(request.headers())?;
        let options = Arc::<HttpOptions>::from_ref(state);
        object(read_json(request, &options).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for PatchBody
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kinds = ["application/merge-patch+json", "application/json"];
        if !kinds.contains(&essence(request.headers()).as_str()) {
            let expected = "application/merge-patch+json or application/json";
            return Err(ApiError::UnsupportedMediaType { expected });
        }
        uncompressed(request.headers())?;
        let options = Arc::<HttpOptions>::from_ref(state);
        object(read_json(request, &options).await?).map(Self)
    }
}

fn object(value: Value) -> Result<Map<String, Value>, ApiError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ApiError::InvalidBody {
            reason: "a product is an object".to_owned(),
        }),
    }
}

/// A change of the product in the address.
pub fn write_of(id: &IdPath, op: WriteOp, json: Map<String, Value>, on: Conditions) -> Write {
    Write {
        id: Some(id.0.clone()),
        op,
        json,
        conditions: on,
    }
}

/// What a line of a bulk asks for.
///
/// # Errors
/// When it is too long, is not a JSON object, or has an `op` that is none.
pub fn write_of_line(line: &BodyLine) -> Result<Write, ApiError> {
    let text = line.text.as_ref().ok_or(ApiError::BodyTooLarge {
        what: "the line",
        limit: LONGEST_LINE,
    })?;
    let mut json = object(parse(text)?)?;
    let op = match json.remove("op") {
        None | Some(Value::Null) => WriteOp::Put,
        Some(op) => match op.as_str() {
            Some("put") => WriteOp::Put,
            Some("patch") => WriteOp::Patch,
            Some("delete") => WriteOp::Delete,
            _ => {
                return Err(ApiError::InvalidProduct {
                    field: "op".to_owned(),
                    reason: format!(
                        "op is {}; it is put, patch or delete",
                        short(&op.to_string())
                    ),
                });
            }
        },
    };
    Ok(Write {
        id: None,
        op,
        json,
        conditions: Conditions::default(),
    })
}
