//! The threads that search: filter, index and ranking, which are CPU work alone. What has to be asked
//! of the store, before and after, is awaited by the caller: a store may be on another machine.
//!
//! A job whose caller has gone, or whose time is over, is skipped before it costs anything
//! ([`batcher`](crate::util::batcher)); one that has begun is finished.

use std::sync::Arc;

use super::error::ServiceError;
use super::generation::Generation;
use crate::domain::{AttributeName, Embedding, Facets, KnownAttributes, QueryText, WordSearch};
use crate::index::lexical::{Reading, Synonyms};
use crate::index::{FacetCounts, Hits, Joining, Selection, rank};
use crate::util::batcher::Worker;
use crate::util::signed::signed;

/// What a worker does.
pub(super) struct Job {
    pub generation: Arc<Generation>,
    pub target: Target,
    pub selection: Selection,
    pub facets: Facets,
}

/// What the products are compared with.
pub(super) enum Target {
    Nothing,
    Words {
        text: QueryText,
        /// `None`: the words alone rank.
        vector: Option<Embedding>,
        options: WordSearch,
        known: KnownAttributes,
        synonyms: Arc<Synonyms>,
    },
    /// The vector alone ranks.
    Near(Embedding),
    /// The nearest products vote on what it is of: on their values of this attribute.
    Photo(Embedding, AttributeName),
}

/// What a worker found.
pub(super) struct Found {
    pub hits: Hits,
    /// The words with slips corrected, when there were any.
    pub corrected: Option<String>,
    /// Words that the catalog does not hold.
    pub unknown: Vec<String>,
    pub facets: Vec<FacetCounts>,
}

/// The span of a job in a trace.
pub(super) fn span() -> tracing::Span {
    let empty = tracing::field::Empty;
    tracing::debug_span!(
        "index",
        products = empty,
        filters = empty,
        hits = empty,
        total = empty
    )
}

/// A thread that answers jobs one by one.
pub(super) fn worker() -> Worker<Job, Result<Found, ServiceError>> {
    Box::new(move |jobs| Ok(jobs.iter().map(find).collect()))
}

fn find(job: &Job) -> Result<Found, ServiceError> {
    let index = &job.generation.index;
    let selection = &job.selection;
    let (mut corrected, mut unknown) = (None, Vec::new());
    let hits = match &job.target {
        Target::Nothing => index.browse(selection)?,
        Target::Near(vector) => index.search(vector, selection)?,
        Target::Photo(vector, category) => index.search_photo(vector, category, selection)?,
        Target::Words {
            text,
            vector,
            options,
            known,
            synonyms,
        } => {
            let reading = Reading {
                typo: options.typo,
                prefix: options.prefix,
                category: &known.category,
                named: &known.shown,
            };
            let lexical = tracing::debug_span!("lexical", parts = tracing::field::Empty);
            let asked = lexical.in_scope(|| index.read(text.as_str(), reading, synonyms));
            lexical.record("parts", signed(asked.parts.len()));
            drop(lexical);
            // Of words that neither the catalog nor the model knows, no vector says anything.
            let encoder = &job.generation.encoder;
            let says_something =
                !asked.parts.is_empty() || asked.unknown.iter().any(|word| encoder.knows(word));
            let vector = vector.as_ref().filter(|_| says_something);
            let joining = Joining {
                vector,
                words_weight: options.weight.unwrap_or(rank::WORDS_WEIGHT),
            };
            let hits = index.search_words(&asked, joining, selection)?;
            (corrected, unknown) = (asked.corrected, asked.unknown);
            hits
        }
    };
    let facets = if job.facets.names.is_empty() {
        Vec::new()
    } else {
        index.counts(&hits, &job.facets, selection)
    };
    let span = tracing::Span::current();
    span.record("products", signed(index.len()));
    span.record("filters", signed(selection.filters.iter().count()));
    span.record("hits", signed(hits.hits.len()));
    span.record("total", signed(hits.estimated_total));
    Ok(Found {
        hits,
        corrected,
        unknown,
        facets,
    })
}
