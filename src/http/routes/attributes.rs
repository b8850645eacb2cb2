//! `/attributes`: what can be filtered by.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::input::params::Pairs;
use crate::http::output::error::{ApiError, PlainProblems, short};
use crate::http::output::view::{FacetView, index_version};
use crate::http::state::AppState;

/// Values shown of one attribute when `values` is not given: a shop may have thousands of brands.
const DEFAULT_VALUES: usize = 100;
const MAX_VALUES: usize = 10_000;

/// The attributes of the products with their values.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttributesResponse {
    pub attributes: Vec<FacetView>,
    pub index_version: String,
}

/// Attributes and their values
///
/// For a storefront's filters: every attribute with what its values are, and the number of products
/// that carry each; `price`, `sale_price`, `current_price` and `created`, without values, where a
/// product has one.
#[utoipa::path(
    get, path = "/attributes", operation_id = "attributes", tag = "search",
    params(("values" = Option<usize>, Query, description = "Values of each attribute at most; the commonest are kept", minimum = 1, maximum = 10_000)),
    responses((status = 200, description = "Attributes and values", body = AttributesResponse), PlainProblems)
)]
pub async fn attributes(
    State(state): State<AppState>,
    pairs: Pairs,
) -> Result<Json<AttributesResponse>, ApiError> {
    let most = how_many(&pairs)?;
    let (facets, generation) = state.service.facets();
    let attributes = facets.iter().map(|facet| FacetView::whole(facet, most));
    let attributes = attributes.collect();
    Ok(Json(AttributesResponse {
        attributes,
        index_version: index_version(generation.version()),
    }))
}

fn how_many(pairs: &Pairs) -> Result<usize, ApiError> {
    let mut most = None;
    for (name, value) in &pairs.0 {
        if name != "values" {
            return Err(ApiError::parameter(
                short(name),
                "there is no such parameter",
            ));
        }
        let number = value
            .parse()
            .ok()
            .filter(|number| (1..=MAX_VALUES).contains(number));
        let number = number
            .ok_or_else(|| ApiError::parameter("values", format!("not from 1 to {MAX_VALUES}")))?;
        if most.replace(number).is_some() {
            return Err(ApiError::RepeatedParameter { name: name.clone() });
        }
    }
    Ok(most.unwrap_or(DEFAULT_VALUES))
}
