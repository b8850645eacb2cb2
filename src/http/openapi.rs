//! The OpenAPI document, assembled from the routes themselves, and what serves it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, Required, Schema, Server};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorCode, Problem, Problems, short};
use super::params::{DEFAULT_LIMIT, USUAL_ATTRIBUTES};
use super::state::{AppState, HttpOptions};
use super::{attributes, health, products, search};
use crate::domain::{MOST_EXCLUDED, Window};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Aglet",
        description = "Product search for fashion shops, in words or by photo.\n\n\
            Every error is an `application/problem+json` document with a stable `code`; `/problems/{code}` explains it. \
            A request may carry `x-request-id` and `traceparent`; the answer carries `x-request-id`.",
    ),
    tags(
        (name = "search", description = "Find products in words or by photo"),
        (name = "products", description = "One product, its picture, and its like"),
        (name = "operations", description = "Health and metrics"),
        (name = "about", description = "This document and the error codes"),
    ),
    components(schemas(Problem, ErrorCode))
)]
struct Base;

/// The routes that do the service's work: limited in time and number.
pub(super) fn work() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(search::search, search::search_json))
        .routes(routes!(search::search_image))
        .routes(routes!(products::product))
        .routes(routes!(products::product_image))
        .routes(routes!(products::similar))
        .routes(routes!(attributes::attributes))
}

/// The routes that answer however busy the service is.
pub(super) fn watch() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi_json))
        .routes(routes!(problem))
}

/// The document of all routes: what `aglet openapi` prints and `/openapi.json` answers.
#[must_use]
pub fn document() -> OpenApi {
    work().merge(watch()).into_openapi()
}

/// The document as it is committed: pretty-printed, with a line feed at the end.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn document_text() -> Result<String, serde_json::Error> {
    text_of(&document())
}

fn text_of(document: &OpenApi) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(document).map(|text| text + "\n")
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object), Problems)
)]
async fn openapi_json(
    State(options): State<Arc<HttpOptions>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut document = document();
    if !options.public_url.is_empty() {
        document.servers = Some(vec![Server::new(&options.public_url)]);
    }
    let text = text_of(&document)
        .map_err(|error| ApiError::internal("the document cannot be written", error))?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    ))
}

/// What an error code means.
#[derive(Serialize, ToSchema)]
struct ProblemType {
    code: ErrorCode,
    status: u16,
    title: &'static str,
    meaning: &'static str,
}

/// What an error code means
///
/// The `type` of every problem document points here.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "problem", tag = "about",
    params(("code" = ErrorCode, Path, description = "The code")),
    responses((status = 200, description = "Its meaning", body = ProblemType), Problems)
)]
async fn problem(
    axum::extract::Path(code): axum::extract::Path<String>,
) -> Result<Json<ProblemType>, ApiError> {
    let known = ErrorCode::ALL
        .iter()
        .copied()
        .find(|known| known.as_str() == code);
    let code = known.ok_or_else(|| ApiError::NoSuchCode { code: short(&code) })?;
    Ok(Json(ProblemType {
        code,
        status: code.status().as_u16(),
        title: code.title(),
        meaning: code.meaning(),
    }))
}

/// Swagger UI under `/docs`, its files in the binary.
pub(super) fn docs<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let config = utoipa_swagger_ui::Config::from("/openapi.json")
        .try_it_out_enabled(true)
        .validator_url("none");
    utoipa_swagger_ui::SwaggerUi::new("/docs")
        .config(config)
        .into()
}

fn text() -> utoipa::openapi::Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn optional(name: &str, description: String, schema: Schema) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

fn repeatable(name: &str, description: String, schema: Schema) -> Parameter {
    optional(name, description, schema)
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .build()
}

/// `limit`, `offset` and `exclude` of a search.
pub(super) struct WindowParams;

impl utoipa::IntoParams for WindowParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let of = |least: usize, most: usize, default: usize| {
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(least))
                .maximum(Some(most))
                .default(Some(default.into()))
        };
        let number = |name: &str, description: &str, schema: ObjectBuilder| {
            optional(name, description.to_owned(), Schema::Object(schema.build())).build()
        };
        let ids = Schema::Array(
            ArrayBuilder::new()
                .items(text())
                .max_items(Some(MOST_EXCLUDED))
                .build(),
        );
        vec![
            number("limit", "Products in the answer", of(1, Window::MAX_LIMIT, DEFAULT_LIMIT)),
            number("offset", "How many of the best products are passed over", of(0, Window::MAX_OFFSET, 0)),
            repeatable(
                "exclude",
                "Ids of products that are not to come; repeatable. Ids that the catalog does not have are passed over"
                    .to_owned(),
                ids,
            ),
        ]
    }
}

/// One parameter per attribute: four that every catalog is likely to have, and the rest by a
/// form-style object.
pub(super) struct FilterParams;

impl utoipa::IntoParams for FilterParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = USUAL_ATTRIBUTES
            .into_iter()
            .map(|name| {
                let schema = Schema::Array(ArrayBuilder::new().items(text()).build());
                repeatable(
                    name,
                    format!("Only products with one of these values of `{name}`; repeatable"),
                    schema,
                )
            })
            .collect();
        let values = Schema::Array(ArrayBuilder::new().items(text()).build());
        let any = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::RefOr(values.into())))
            .build();
        parameters.push(repeatable(
            "attributes",
            "Any other attribute that `/attributes` lists, each under its own name and repeatable"
                .to_owned(),
            Schema::Object(any),
        ));
        parameters
    }
}
