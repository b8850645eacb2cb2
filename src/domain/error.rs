//! Why a request is not a query.

/// Why a request is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("the query is empty")]
    EmptyText,
    #[error("the query has {got} characters, at most {max} are allowed")]
    TextTooLong { got: usize, max: usize },
    #[error("limit is {got}, it must be from 0 to {max}")]
    Limit { got: usize, max: usize },
    #[error("offset is {got}, it must be from 0 to {max}")]
    Offset { got: usize, max: usize },
    #[error("there are {got} filter values, at most {max} are allowed")]
    TooManyFilters { got: usize, max: usize },
    #[error(
        "{range:?} is not a range: two numbers or two dates, the lower first, one of them may be left out"
    )]
    Range { range: String },
}
