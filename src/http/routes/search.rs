//! `/search` in words, as JSON, and by photo.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::domain::{Ask, Query};
use crate::http::input::body::{JsonBody, Upload};
use crate::http::input::json::{CutName, SearchBody};
use crate::http::input::params::{Pairs, RawQuery};
use crate::http::input::schema;
use crate::http::output::error::{ApiError, BodyProblems, PlainProblems};
use crate::http::output::view::{QueryEcho, SearchResponse};
use crate::http::state::AppState;
use crate::service::Page;
use crate::util::signed::signed;

/// Search in words
///
/// Every attribute of the products is a parameter of the same name (`brand=Nike` is the same as
/// `filter=brand:Nike`): given more than once, its values are alternatives; different attributes add
/// up. `/attributes` lists them.
#[utoipa::path(
    get, path = "/search", operation_id = "search", tag = "search",
    params(
        ("q" = Option<String>, Query, description = "What is wanted, in words; without any, every product that matches the filters is found", max_length = 512, example = "black formal shoes"),
        schema::FilterParams, schema::OrderParams, schema::WordParams, schema::FacetParams, schema::WindowParams,
    ),
    responses((status = 200, description = "Products, best first", body = SearchResponse), PlainProblems)
)]
pub async fn search(State(state): State<AppState>, pairs: Pairs) -> Result<Response, ApiError> {
    in_words(&state, RawQuery::of_pairs(pairs.0, true)?).await
}

/// Search in words, as JSON
///
/// The same as `GET /search`, for filters that are too many for a URL. Attributes may stand beside
/// `q`, each under its own name, too.
#[utoipa::path(
    post, path = "/search", operation_id = "search_json", tag = "search", request_body = SearchBody,
    responses((status = 200, description = "Products, best first", body = SearchResponse), BodyProblems)
)]
pub async fn search_json(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SearchBody>,
) -> Result<Response, ApiError> {
    in_words(&state, body.raw()?).await
}

async fn in_words(state: &AppState, raw: RawQuery) -> Result<Response, ApiError> {
    let started = Instant::now();
    let query = raw.ask().and_then(|ask| raw.query(ask, &state.service))?;
    answer(state, query, started).await
}

/// The upload form of `POST /search/image`; every further field is an attribute, repeatable, as in
/// `GET /search`. Only `image` may be a file, and nothing may be in the URL.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form in the OpenAPI document; the form is read field by field"
)]
pub struct ImageForm {
    /// The photo: JPEG, PNG, WebP, GIF (its first frame) or BMP, recognized by content.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Products in the answer, 0 to 250; 20 when not given.
    #[schema(minimum = 0, maximum = 250, nullable = false)]
    limit: Option<usize>,
    /// How many of the best products are skipped, 0 to 10,000.
    #[schema(minimum = 0, maximum = 10_000, nullable = false)]
    offset: Option<usize>,
    /// What an attribute must be, as in `GET /search`: `brand:Nike`, `price:50..100`, `-color:Blue`.
    #[schema(nullable = false)]
    filter: Option<Vec<String>>,
    /// What products are sorted by, as in `GET /search`: those that are near enough to the photo to be
    /// meant by it.
    #[schema(nullable = false)]
    sort: Option<Vec<String>>,
    /// As in `GET /search`.
    #[schema(nullable = false)]
    group_by: Option<String>,
    /// As in `GET /search`.
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    diversify: Option<f32>,
    /// Whether each hit says why it is where it is.
    #[schema(nullable = false)]
    explain: Option<bool>,
    /// `none`: sorted products are all that match the filters.
    #[schema(nullable = false)]
    cut: Option<CutName>,
    /// Ids of products that are left out, 100 at most; ids that the catalog does not have are
    /// ignored.
    #[schema(nullable = false)]
    exclude: Option<Vec<String>>,
    /// Attributes whose values are counted, 20 at most.
    #[schema(nullable = false)]
    facets: Option<Vec<String>>,
    /// Values of each of them, the most frequent first; 20 when not given.
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    facet_limit: Option<usize>,
    /// Of a facet only the values with a word that begins so: `brand:ni`.
    #[schema(nullable = false)]
    facet_query: Option<Vec<String>>,
    /// Ranges of a facet of numbers or dates that are counted: `price:0..50`.
    #[schema(nullable = false)]
    facet_ranges: Option<Vec<String>>,
}

/// Search by photo
///
/// The picture is turned upright by its EXIF orientation; it is neither stored nor logged. The
/// nearest products vote on the category that it shows, and products of that category rise.
#[utoipa::path(
    post, path = "/search/image", operation_id = "search_image", tag = "search",
    request_body(content = ImageForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Products, best first", body = SearchResponse), BodyProblems)
)]
pub async fn search_image(
    State(state): State<AppState>,
    upload: Upload,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    // Its room in memory is kept until the photo is embedded, which ends with the answer.
    let Upload {
        image,
        fields,
        share: _share,
    } = upload;
    let query = fields.query(Ask::Photo(image), &state.service)?;
    answer(&state, query, started).await
}

/// One query, one page, one response.
pub async fn answer(
    state: &AppState,
    query: Query,
    started: Instant,
) -> Result<Response, ApiError> {
    let echo = QueryEcho::of(&query);
    let deadline = started + state.options.request_timeout;
    let found = state.service.search(query, Some(deadline)).await;
    let took = started.elapsed();
    if state.options.slow_query.is_some_and(|slow| took >= slow) {
        note_slow(
            &echo,
            took,
            found.as_ref().ok(),
            state.options.slow_query_text,
        );
    }
    let page = found?;
    let render = tracing::debug_span!("render", hits = signed(page.hits.len()));
    let (known, public_url) = (state.service.known(), &state.options.public_url);
    Ok(render.in_scope(|| {
        Json(SearchResponse::new(page, echo, took, known, public_url)).into_response()
    }))
}

/// The line of a slow search; the request's id and trace are its span's.
fn note_slow(echo: &QueryEcho, took: Duration, page: Option<&Page>, text: bool) {
    let ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    let (hits, total) = (
        page.map(|page| page.hits.len()),
        page.map(|page| page.total),
    );
    let words = echo.q().map(|q| q.split_whitespace().count());
    let q = echo.q().filter(|_| text);
    tracing::warn!(ms, words, hits, total, q, "slow query");
}
