//! `/search` in words, as JSON, and by photo; and what all of them share with "similar".

use std::collections::HashMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;

use super::body::{JsonBody, Upload};
use super::error::{ApiError, Problems};
use super::params::{Asked, Pairs, RawQuery, SearchBody};
use super::state::AppState;
use super::view::{Hit, ModelInfo, ProductView, QueryEcho, SearchResponse, index_version};
use crate::domain::{Embedding, ProductKey};
use crate::encode::Priority;
use crate::telemetry::blocking;

/// Search in words
///
/// Every attribute of the products is a parameter of the same name: given more than once, its
/// values are alternatives; different attributes add up. `/attributes` lists them.
#[utoipa::path(
    get, path = "/search", operation_id = "search", tag = "search",
    params(
        ("q" = String, Query, description = "What is wanted, in words", min_length = 1, max_length = 512, example = "black formal shoes"),
        super::openapi::WindowParams, super::openapi::FilterParams,
    ),
    responses((status = 200, description = "Products, best first", body = SearchResponse), Problems)
)]
pub async fn search(
    State(state): State<AppState>,
    pairs: Pairs,
) -> Result<Json<SearchResponse>, ApiError> {
    in_words(state, RawQuery::of_pairs(pairs.0, true)?).await
}

/// Search in words, as JSON
///
/// The same as `GET /search`, for filters that are too many for a URL: attributes stand beside `q`,
/// each under its own name, or under `filters`.
#[utoipa::path(
    post, path = "/search", operation_id = "search_json", tag = "search", request_body = SearchBody,
    responses((status = 200, description = "Products, best first", body = SearchResponse), Problems)
)]
pub async fn search_json(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SearchBody>,
) -> Result<Json<SearchResponse>, ApiError> {
    in_words(state, body.into()).await
}

async fn in_words(state: AppState, raw: RawQuery) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    let text = raw.words()?;
    serving(&state)?;
    let asked = raw.check(&state.searcher)?;
    let deadline = started + state.options.request_timeout;
    let embedding = state
        .encoder
        .text(text.as_str(), Priority::Search, Some(deadline))
        .await?;
    let echo = QueryEcho {
        q: Some(text.as_str().to_owned()),
        ..QueryEcho::new(&asked)
    };
    answer(state, Wanted::Words(embedding), asked, echo, started).await
}

/// The upload form of `POST /search/image`; every further field is an attribute, repeatable, as in
/// `GET /search`. Only `image` may be a file, and nothing may be in the URL.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form in the OpenAPI document; the form is read field by field"
)]
pub struct ImageForm {
    /// The photo: JPEG, PNG, WebP, GIF (its first frame) or BMP, told apart by their content.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Products in the answer, 1 to 250; 20 when not given.
    #[schema(minimum = 1, maximum = 250, default = 20)]
    limit: Option<usize>,
    /// How many of the best products are passed over, 0 to 10,000.
    #[schema(minimum = 0, maximum = 10_000, default = 0)]
    offset: Option<usize>,
    /// Ids of products that are not to come, 100 at most; ids that the catalog does not have are
    /// passed over.
    exclude: Option<Vec<String>>,
    category: Option<Vec<String>>,
    color: Option<Vec<String>>,
    gender: Option<Vec<String>>,
    shoelace_color: Option<Vec<String>>,
}

/// Search by photo
///
/// The picture is turned upright by its EXIF orientation; it is neither stored nor logged. The
/// nearest products vote on the category that it shows, and products of that category rise.
#[utoipa::path(
    post, path = "/search/image", operation_id = "search_image", tag = "search",
    request_body(content = ImageForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Products, best first", body = SearchResponse), Problems)
)]
pub async fn search_image(
    State(state): State<AppState>,
    upload: Upload,
) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    serving(&state)?;
    let Upload {
        image,
        fields,
        share,
    } = upload;
    let asked = fields.check(&state.searcher)?;
    let echo = QueryEcho {
        image_bytes: Some(image.len()),
        ..QueryEcho::new(&asked)
    };
    let deadline = started + state.options.request_timeout;
    let embedding = state
        .encoder
        .image(image, Priority::Search, Some(deadline))
        .await?;
    drop(share);
    answer(state, Wanted::Photo(embedding), asked, echo, started).await
}

/// Before the first index is in use, every answer would be an empty list that looks like an answer.
pub fn serving(state: &AppState) -> Result<(), ApiError> {
    if !state.stage.starting() {
        return Ok(());
    }
    let reason = "the catalog is still being prepared; /readyz tells how far".to_owned();
    Err(ApiError::NotReady {
        reason,
        report: serde_json::Value::Null,
    })
}

/// What is compared with the products.
pub enum Wanted {
    Words(Embedding),
    Photo(Embedding),
    /// This product's own vector; it does not come itself.
    Like(Embedding, ProductKey),
}

/// From an embedding to the response.
pub async fn answer(
    state: AppState,
    wanted: Wanted,
    asked: Asked,
    query: QueryEcho,
    started: Instant,
) -> Result<Json<SearchResponse>, ApiError> {
    let searcher = state.searcher.clone();
    let mut exclude = if asked.exclude.is_empty() {
        Vec::new()
    } else {
        state.catalog.keys(&asked.exclude).await?
    };
    let Asked {
        filters, window, ..
    } = asked;
    let found = blocking(move || match wanted {
        Wanted::Words(query) => searcher.search(&query, &filters, window, &exclude),
        Wanted::Photo(query) => searcher.search_photo(&query, &filters, window, &exclude),
        Wanted::Like(query, own) => {
            exclude.push(own);
            searcher.search(&query, &filters, window, &exclude)
        }
    });
    let found = found.await??;
    let keys: Vec<ProductKey> = found.hits.iter().map(|hit| hit.key).collect();
    let mut products: HashMap<ProductKey, _> = state
        .catalog
        .products(&keys)
        .await?
        .into_iter()
        .map(|product| (product.key, product))
        .collect();
    let hits = found.hits.iter().filter_map(|hit| {
        // A product deleted since the index was built is left out.
        let stored = products.remove(&hit.key)?;
        let id = stored.product.id.to_string();
        Some(Hit {
            id,
            score: hit.score,
            product: ProductView::new(stored, &state.options.public_url),
        })
    });
    Ok(Json(SearchResponse {
        hits: hits.collect(),
        estimated_total: found.estimated_total,
        took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        model: ModelInfo::of(&state),
        index_version: index_version(&found.version),
        words_percent: found.version.words_percent,
        query,
    }))
}
