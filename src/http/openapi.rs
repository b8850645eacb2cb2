//! The OpenAPI document, assembled from the routes themselves, and what serves it.

use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;
use utoipa::openapi::encoding::EncodingBuilder;
use utoipa::openapi::path::ParameterStyle;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, RefOr, Schema, Server};
use utoipa::{OpenApi as _, PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::schema;
use super::layers::access::Needs;
use super::output::error::{
    ApiError, ErrorCode, FixedProblems, NameProblems, Problem, listed, short,
};
use super::output::written::{BulkEnd, BulkStatus};
use super::routes::{admin, attributes, bulk, health, pictures, products, search, write};
use super::state::{AppState, Listener};
use crate::domain::KnownAttributes;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Aglet",
        description = "Product search for fashion shops, in words or by photo.\n\n\
            Every error is an `application/problem+json` document with a stable `code`; `/problems/{code}` explains it. \
            A request may carry `x-request-id` and `traceparent`; the answer carries `x-request-id`.\n\n\
            Once the service has keys, a request carries one: `Authorization: Bearer KEY`. Until then searches need none, \
            and everything else is for the admin listener.",
    ),
    tags(
        (name = "search", description = "Find products in words or by photo"),
        (name = "products", description = "Products, their pictures and their like; read and written"),
        (name = "admin", description = "Keys, the model, settings"),
        (name = "operations", description = "Health, metrics, version"),
        (name = "about", description = "This document and the error codes"),
    ),
    components(schemas(Problem, ErrorCode, BulkStatus, BulkEnd))
)]
struct Base;

/// What the document calls the scheme of the keys.
const KEY: &str = "key";

/// The routes that do the service's work: limited in time and number.
pub(super) fn work() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(search::search, search::search_json))
        .routes(routes!(search::search_image))
        .routes(routes!(
            products::product,
            write::put_product,
            write::patch_product,
            write::delete_product
        ))
        .routes(routes!(bulk::all_products))
        .routes(routes!(bulk::bulk_products))
        .routes(routes!(pictures::product_image))
        .routes(routes!(
            pictures::product_picture,
            pictures::put_picture,
            pictures::delete_picture
        ))
        .routes(routes!(products::similar))
        .routes(routes!(attributes::attributes))
        .routes(routes!(admin::keys, admin::make_key))
        .routes(routes!(admin::revoke_key))
        .routes(routes!(
            admin::model,
            admin::change_model,
            admin::keep_model
        ))
        .routes(routes!(admin::roll_model_back))
        .routes(routes!(admin::reload))
}

/// The routes that answer however busy the service is.
pub(super) fn watch() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::version))
        .routes(routes!(openapi_json))
        .routes(routes!(problem))
}

/// The document of all routes: what `/openapi.json` answers. `known`: the attributes that it names.
#[must_use]
pub fn document(known: &KnownAttributes) -> OpenApi {
    let mut document = work().merge(watch()).into_openapi();
    document.servers = Some(vec![Server::new("/")]);
    describe_keys(&mut document);
    name_attributes(&mut document, known);
    describe_form(&mut document);
    describe_pictures(&mut document);
    document
}

/// The document of a service with the default settings, as it is committed and as `aglet openapi`
/// prints it: with a line feed at the end.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn document_text() -> Result<String, serde_json::Error> {
    text_of(&document(&KnownAttributes::default()))
}

fn text_of(document: &OpenApi) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(document).map(|text| text + "\n")
}

/// Says of every operation which key it needs, and what it answers without.
fn describe_keys(document: &mut OpenApi) {
    let about =
        "A key of the service: aglet_...; what it must be good for stands beside each operation";
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(about))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme(KEY, SecurityScheme::Http(scheme));
    }
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let scope = Needs::of(&method, path).scope(Listener::Public);
            let Some(scope) = scope else {
                operation.security = Some(Vec::new());
                continue;
            };
            let needed = SecurityRequirement::new(KEY, [scope.as_str()]);
            operation.security = Some(vec![needed]);
            operation
                .responses
                .responses
                .extend(listed(&[401, 403, 429]));
        }
    }
}

/// Adds the known attributes wherever any attribute may stand: parameters, the upload form, and the
/// products of an answer.
fn name_attributes(document: &mut OpenApi, known: &KnownAttributes) {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post];
        for parameters in operations
            .into_iter()
            .flatten()
            .filter_map(|operation| operation.parameters.as_mut())
        {
            if let Some(at) = parameters
                .iter()
                .position(|p| matches!(p, RefOr::T(p) if p.name == schema::FILTER))
            {
                parameters.splice(
                    at..at,
                    known.shown.iter().map(|name| RefOr::T(schema::known(name))),
                );
            }
        }
    }
    let schemas = document.components.as_mut().map(|all| &mut all.schemas);
    let Some(schemas) = schemas else { return };
    let optional_text = || {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("The first value of the attribute of this name"))
            .build()
    };
    for name in &known.shown {
        let mut add = |of: &str, property: Schema| {
            if let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(of) {
                let property = RefOr::T(property);
                object.properties.insert(name.to_string(), property);
            }
        };
        add("ImageForm", schema::texts());
        add("ProductView", Schema::Object(optional_text()));
    }
}

/// The arrays of the upload form are repeated fields, which not every client takes for granted.
fn describe_form(document: &mut OpenApi) {
    let arrays = |schema: &Schema| {
        let Schema::Object(form) = schema else {
            return Vec::new();
        };
        let array = |(name, property): (&String, &RefOr<Schema>)| {
            matches!(property, RefOr::T(Schema::Array(_))).then(|| name.clone())
        };
        form.properties.iter().filter_map(array).collect()
    };
    let components = document.components.as_ref();
    let form = components.and_then(|all| all.schemas.get("ImageForm"));
    let names: Vec<String> = match form {
        Some(RefOr::T(schema)) => arrays(schema),
        _ => Vec::new(),
    };
    let item = document.paths.paths.get_mut("/search/image");
    let body = item
        .and_then(|item| item.post.as_mut())
        .and_then(|post| post.request_body.as_mut());
    let Some(RefOr::T(body)) = body else { return };
    if let Some(RefOr::T(content)) = body.content.get_mut("multipart/form-data") {
        let repeated = |name| {
            let encoding = EncodingBuilder::new()
                .style(Some(ParameterStyle::Form))
                .explode(Some(true));
            (name, encoding.build())
        };
        content.encoding = names.into_iter().map(repeated).collect();
    }
}

/// The types that a picture may be of: `image/*` alone tells clients nothing.
fn describe_pictures(document: &mut OpenApi) {
    let content = || RefOr::T(Content::new(Some(schema::Binary::schema())));
    let kinds = ["jpeg", "png", "webp", "gif", "bmp"].map(|kind| format!("image/{kind}"));
    for path in ["/products/{id}/image", "/products/{id}/pictures/{number}"] {
        let Some(item) = document.paths.paths.get_mut(path) else {
            continue;
        };
        let responses = item.get.as_mut().map(|get| &mut get.responses.responses);
        if let Some(RefOr::T(picture)) = responses.and_then(|all| all.get_mut("200")) {
            let shown = kinds.iter().map(|kind| (kind.clone(), content()));
            picture.content = shown.collect();
        }
        let body = item.put.as_mut().and_then(|put| put.request_body.as_mut());
        if let Some(RefOr::T(body)) = body {
            let any = std::iter::once("application/octet-stream".to_owned());
            let taken = kinds.iter().cloned().chain(any);
            body.content = taken.map(|kind| (kind, content())).collect();
        }
    }
}

/// This document
///
/// Of this very service: with its address and the attributes that it is set up to know.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object), FixedProblems)
)]
async fn openapi_json(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let mut document = document(state.service.known());
    if !state.options.public_url.is_empty() {
        document.servers = Some(vec![Server::new(&state.options.public_url)]);
    }
    let text = text_of(&document)
        .map_err(|error| ApiError::internal("the document cannot be written", error))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, text))
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
    responses((status = 200, description = "Its meaning", body = ProblemType), NameProblems)
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
    // Relative, for those who come by a path that a proxy takes away.
    let config = utoipa_swagger_ui::Config::from("../openapi.json")
        .try_it_out_enabled(true)
        .validator_url("none");
    let docs: Router<S> = utoipa_swagger_ui::SwaggerUi::new("/docs")
        .config(config)
        .into();
    docs.layer(axum::middleware::map_response(relative_redirect))
}

/// `/docs` leads to `/docs/`: by an address that is relative to it (RFC 9110, 10.2.2).
async fn relative_redirect(mut response: Response) -> Response {
    let location = response.headers().get(header::LOCATION);
    let relative = location
        .and_then(|location| location.to_str().ok()?.strip_prefix('/'))
        .and_then(|relative| HeaderValue::from_str(relative).ok());
    if let Some(relative) = relative {
        response.headers_mut().insert(header::LOCATION, relative);
    }
    response
}
