//! The parameters of searches as OpenAPI describes them.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};

use super::params::DEFAULT_LIMIT;
use crate::domain::{AttributeName, Facets, MOST_EXCLUDED, Window};

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
        ]
    }
}

/// `mode`, `typo`, `prefix` and `cut` of a search in words.
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
            one_of(
                "cut",
                "Which products are counted and shown: those that are meant, or all that match the filters",
                &["relevant", "none"],
            ),
        ]
    }
}

/// Attributes that are filtered by, but for those that [`known`] describes: a form-style object.
pub struct FilterParams;

impl utoipa::IntoParams for FilterParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let any = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::RefOr(texts().into())))
            .build();
        vec![repeatable(
            FILTERS,
            "Any other attribute that `/attributes` lists, each under its own name and repeatable"
                .to_owned(),
            Schema::Object(any),
        )]
    }
}

/// The name of the parameter that [`FilterParams`] describes.
pub const FILTERS: &str = "attributes";

/// The filter by an attribute that the catalog is known to have.
pub fn known(name: &AttributeName) -> Parameter {
    repeatable(
        name.as_str(),
        format!("Only products with one of these values of `{name}`; repeatable"),
        texts(),
    )
}

/// An array of texts.
pub fn texts() -> Schema {
    Schema::Array(ArrayBuilder::new().items(text()).build())
}
