//! The shop's own check of a model that is to answer: its shoppers' queries, asked of that model and
//! of the one in use.
//!
//! The rule is that of `aglet evaluate shopper`: a query's score is the share of right products in the
//! first ten, a model's the mean of the means of the kinds of queries.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{
    Ask as Asked, Facets, Filters, Order, ProductId, Query, QueryText, Window, WordSearch,
};
use crate::evaluate::benchmark::shopper;
use crate::evaluate::data::shopper::ShopperQueries;
use crate::evaluate::subject::{Ask, Engine, EngineError, Found, How, Need, Subject};
use crate::service::{Check, Checked, Generation, Service};
use crate::util::blocking::blocking;

/// By so much another model may answer worse than the one in use, in percent.
const SLACK: f64 = 1.0;

/// The check of the queries in a file; `least`: the score in percent that a model must have.
#[must_use]
pub fn check(service: Service, file: PathBuf, least: u8) -> Check {
    Arc::new(move |next, now| {
        let (service, file) = (service.clone(), file.clone());
        let handle = tokio::runtime::Handle::current();
        Box::pin(async move {
            let compared = blocking(move || compare(&service, &handle, &file, least, next, now));
            compared.await.map_err(|error| error.to_string())?
        })
    })
}

fn compare(
    service: &Service,
    handle: &tokio::runtime::Handle,
    file: &std::path::Path,
    least: u8,
    next: Arc<Generation>,
    now: Arc<Generation>,
) -> Checked {
    let queries = ShopperQueries::load(file).map_err(|error| error.to_string())?;
    let score = |generation| {
        let mut engine = InProcess::new(service.clone(), handle.clone(), generation);
        let result = shopper::run(&mut engine, &queries, |_| {}).map_err(|e| e.to_string())?;
        let score = result.score().ok_or("no query was answered")?;
        Ok::<f64, String>(100.0 * score)
    };
    let (next, now) = (score(next)?, score(now)?);
    let said = format!(
        "{next:.1}% over {} shoppers' queries, {now:.1}% in use",
        queries.queries.len()
    );
    if next + SLACK < now || next < f64::from(least) {
        return Err(format!(
            "{said}; at least {least}% and no more than {SLACK} below is asked for"
        ));
    }
    Ok(said)
}

/// A generation of a service, asked without HTTP.
struct InProcess {
    service: Service,
    handle: tokio::runtime::Handle,
    generation: Arc<Generation>,
    subject: Subject,
}

impl InProcess {
    fn new(service: Service, handle: tokio::runtime::Handle, generation: Arc<Generation>) -> Self {
        let model = generation.model();
        let subject = Subject {
            model: model.name,
            model_id: model.id.to_string(),
            at: "this service".to_owned(),
            how: How::Api,
            words_percent: Some(generation.version().words_percent),
        };
        Self {
            service,
            handle,
            generation,
            subject,
        }
    }
}

impl Engine for InProcess {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError> {
        let asked = match ask {
            Ask::Text(text) => Asked::Words(QueryText::new(text)?),
            Ask::Photo(bytes) => Asked::Photo(Bytes::clone(bytes)),
        };
        let query = Query {
            ask: asked,
            filters: Filters::default(),
            exclude: need.exclude.to_vec(),
            window: Window::new(need.results, 0)?,
            order: Order::default(),
            facets: Facets::default(),
            words: WordSearch::default(),
            explain: false,
        };
        let page = self.service.search_in(&self.generation, query, None);
        let page = self.handle.block_on(page);
        let page = page.map_err(|error| EngineError::Service(error.to_string()))?;
        let found = page.hits.into_iter().map(|hit| Found {
            id: hit.product.product.id.clone(),
            title: hit.product.product.title.clone(),
            attributes: hit.product.product.attributes.clone(),
            score: hit.score,
        });
        Ok(found.filter(|found| (need.among)(&found.id)).collect())
    }

    fn picture(&mut self, _: &ProductId) -> Option<Bytes> {
        None
    }
}
