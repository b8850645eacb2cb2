//! The parameters of searches as OpenAPI describes them.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Schema};

use super::params::DEFAULT_LIMIT;
use crate::domain::{AttributeName, Facets, Filters, MOST_EXCLUDED, Order, Window};

fn text() -> utoipa::openapi::Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

/// A body that clients pass on as it is: a file, or lines of JSON. As a mere text, generated clients
/// write and read it as one value of JSON.
pub struct Binary;

impl utoipa::PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let binary = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        RefOr::T(Schema::Object(binary.build()))
    }
}

impl utoipa::ToSchema for Binary {}

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
pub struct WindowParams;

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
            number("limit", "Products in the answer; 0: the total and the facets alone", of(0, Window::MAX_LIMIT, DEFAULT_LIMIT)),
            number("offset", "How many of the best products are skipped", of(0, Window::MAX_OFFSET, 0)),
            repeatable(
                "exclude",
                "Ids of products that are left out; repeatable. Ids that the catalog does not have are ignored"
                    .to_owned(),
                ids,
            ),
        ]
    }
}

/// `facets` and `facet_limit` of a search.
pub struct FacetParams;

impl utoipa::IntoParams for FacetParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let names = ArrayBuilder::new()
            .items(text())
            .max_items(Some(Facets::MOST));
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(Facets::MOST_VALUES))
            .default(Some(Facets::VALUES.into()));
        let texts = |most: usize, example: &str| {
            let texts = ArrayBuilder::new().items(text()).max_items(Some(most));
            Schema::Array(texts.examples([serde_json::json!([example])]).build())
        };
        vec![
            repeatable(
                "facets",
                "Attributes whose values are counted over the products that are found, each as if nothing were \
                 chosen of itself; repeatable, or separated by commas"
                    .to_owned(),
                Schema::Array(names.build()),
            ),
            optional(
                "facet_limit",
                "Values of each facet, the most frequent first".to_owned(),
                Schema::Object(limit.build()),
            )
            .build(),
            repeatable(
                "facet_query",
                "Of a facet only the values with a word that begins so: `brand:ni`".to_owned(),
                texts(Facets::MOST, "brand:ni"),
            ),
            repeatable(
                "facet_ranges",
                "Ranges of a facet of numbers or dates that are counted: `price:0..50`, `price:50..`"
                    .to_owned(),
                texts(Facets::MOST_RANGES, "price:0..50"),
            ),
        ]
    }
}

/// `sort`, `group_by`, `diversify` and `explain` of a search.
pub struct OrderParams;

impl utoipa::IntoParams for OrderParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let keys = ArrayBuilder::new()
            .items(text())
            .max_items(Some(Order::MOST_KEYS))
            .examples([serde_json::json!(["price:asc"])]);
        let share = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .maximum(Some(1))
            .default(Some(0.into()));
        let yes = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .default(Some(false.into()));
        let one = |name: &str, description: &str, schema: Schema| {
            optional(name, description.to_owned(), schema).build()
        };
        vec![
            repeatable(
                "sort",
                "What products are sorted by: attributes, `price`, `sale_price`, `current_price` (the sale \
                 price where there is one), `created`, `relevance`; with `:desc` behind or `-` before it the \
                 greatest first. Repeatable, or separated by commas; products without the value come last"
                    .to_owned(),
                Schema::Array(keys.build()),
            ),
            one(
                "group_by",
                "An attribute: of the products with the same value only the first is shown, and totals and \
                 pages count these",
                Schema::Object(text()),
            ),
            one(
                "diversify",
                "How much products that look like those before them are put off, 0 (not at all) to 1",
                Schema::Object(share.build()),
            ),
            one(
                "explain",
                "Whether each hit says why it is where it is",
                Schema::Object(yes.build()),
            ),
            one(
                "cut",
                "Which products are counted and shown: those that are meant, or all that match the filters. \
                 By photo and for similar products only where they are sorted",
                Schema::Object(
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .enum_values(Some(["relevant", "none"]))
                        .default(Some("relevant".into()))
                        .build(),
                ),
            ),
        ]
    }
}

/// `mode`, `typo`, `prefix` and `words_weight` of a search in words.
pub struct WordParams;

impl utoipa::IntoParams for WordParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let one_of = |name: &str, description: &str, values: &[&str]| {
            let schema = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(values.to_vec()))
                .default(values.first().copied().map(Into::into));
            optional(name, description.to_owned(), Schema::Object(schema.build())).build()
        };
        let yes = |name: &str, description: &str, default: bool| {
            let schema = ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .default(Some(default.into()));
            optional(name, description.to_owned(), Schema::Object(schema.build())).build()
        };
        vec![
            one_of(
                "mode",
                "What ranks the products: words and vectors together, or one of them alone",
                &["hybrid", "lexical", "vector"],
            ),
            yes("typo", "Whether slips of the pen are corrected", true),
            yes("prefix", "Whether the last word may be unfinished", false),
            optional(
                "words_weight",
                "The share of the words in a score, 0 to 1; the vectors have the rest".to_owned(),
                Schema::Object(
                    ObjectBuilder::new()
                        .schema_type(Type::Number)
                        .minimum(Some(0))
                        .maximum(Some(1))
                        .build(),
                ),
            )
            .build(),
        ]
    }
}

/// Attributes that are filtered by, but for those that [`known`] describes.
pub struct FilterParams;

impl utoipa::IntoParams for FilterParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let filters = ArrayBuilder::new()
            .items(text())
            .max_items(Some(Filters::MAX_VALUES))
            .examples([serde_json::json!(["brand:Nike", "price:50..100"])]);
        vec![repeatable(
            FILTER,
            "What an attribute must be: `brand:Nike`; a range of numbers or dates `price:50..100`, \
             `price:50..`, `created:2026-11-01..`; any value `sale_price:*`; with `-` before it what it must \
             not be: `-color:Blue`. Repeatable: what is said of one attribute are alternatives, different \
             attributes and what must not be add up"
                .to_owned(),
            Schema::Array(filters.build()),
        )]
    }
}

/// The name of the parameter that [`FilterParams`] describes.
pub const FILTER: &str = "filter";

/// The filter by an attribute that the catalog is known to have.
pub fn known(name: &AttributeName) -> Parameter {
    repeatable(
        name.as_str(),
        format!("Only products with one of these values of `{name}`; repeatable"),
        texts(),
    )
}

/// `wait` of a write.
pub struct WaitParams;

impl utoipa::IntoParams for WaitParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["searchable"]));
        let description = "The answer waits until the index holds what was written, at most as long as a request \
                           may take (10 s); `searchable` says whether it does";
        let wait = optional(
            "wait",
            description.to_owned(),
            Schema::Object(schema.build()),
        );
        vec![wait.build()]
    }
}

fn condition(name: &str, description: &str) -> Parameter {
    optional(name, description.to_owned(), Schema::Object(text()))
        .parameter_in(ParameterIn::Header)
        .build()
}

/// `If-None-Match` of what is read.
pub struct KnownParams;

impl utoipa::IntoParams for KnownParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "Only where the ETag is none of these";
        vec![condition("If-None-Match", description)]
    }
}

/// `wait`, `If-Match` and `If-None-Match` of a write.
pub struct WriteParams;

impl utoipa::IntoParams for WriteParams {
    fn into_params(at: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = WaitParams::into_params(at);
        parameters.push(condition(
            "If-Match",
            "Only where the product's ETag is one of these; `*`: only where there is a product",
        ));
        parameters.push(condition(
            "If-None-Match",
            "Only where the product's ETag is none of these; `*`: only where there is no product",
        ));
        parameters
    }
}

/// An array of texts.
pub fn texts() -> Schema {
    Schema::Array(ArrayBuilder::new().items(text()).build())
}
