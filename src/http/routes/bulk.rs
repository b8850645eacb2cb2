//! Many products in one request: `POST /products:bulk` writes them, `GET /products` reads them all.
//!
//! The body of a bulk is read as a stream and written some hundred lines at a time; an answer goes
//! out for each line while the rest still comes in. The first of these transactions is made before the
//! answer begins, so that what is wrong with the whole request has a status of its own.

use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tracing::Instrument;

use crate::domain::WriteResult;
use crate::http::input::lines::{BodyLine, BodyLines};
use crate::http::input::product::{Listed, Wait, write_of_line};
use crate::http::input::schema;
use crate::http::layers::limits::Place;
use crate::http::output::error::{ApiError, BulkProblems, ProductProblems};
use crate::http::output::stream::{Parts, stream};
use crate::http::output::written::{BulkEnd, BulkStatus, add_line};
use crate::http::state::AppState;

/// Lines in one transaction.
const BATCH: usize = 500;
/// Bytes of lines in one transaction.
const BATCH_BYTES: usize = 2 << 20;
/// How long the first line of a transaction waits for more that are still to arrive.
const LINGER: Duration = Duration::from_millis(50);
/// Transactions whose answers a client may leave unread.
const UNREAD: usize = 128;
/// Pages of products that wait for the client.
const PAGES: usize = 2;

const NDJSON: [(header::HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "application/x-ndjson"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Write many products
///
/// A line a product, as `PUT` takes it, with its `id`; or with `"op": "patch"` what changes of it, or
/// with `"op": "delete"` its id alone. `Content-Encoding: gzip` is read. The answer has a line for each
/// line, in order, with a `status` or an `error`: a bad line costs itself alone. The same bulk again
/// changes nothing. 500 lines are written at a time; what was answered is written, whatever happens
/// next. Read the answer while you send, or send 50,000 lines at most. `If-Match` and `If-None-Match`
/// are refused.
#[utoipa::path(
    post, path = "/products:bulk", operation_id = "bulk_products", tag = "products",
    params(schema::WaitParams),
    request_body(
        content = inline(schema::Binary), content_type = "application/x-ndjson",
        description = "Lines of JSON, each at most 1 MiB; any number of them",
        example = json!("{\"id\": \"1\", \"title\": \"Derby\", \"price\": 89.9}\n{\"op\": \"patch\", \"id\": \"2\", \"price\": 49.9}\n{\"op\": \"delete\", \"id\": \"3\"}\n"),
    ),
    responses(
        (
            status = 200, description = "A line of JSON for each line, a BulkStatus; with `wait=searchable` a BulkEnd after them",
            body = inline(schema::Binary), content_type = "application/x-ndjson",
            example = json!("{\"line\":1,\"id\":\"1\",\"status\":\"created\",\"revision\":1795980125796}\n"),
        ),
        BulkProblems,
    )
)]
pub async fn bulk_products(
    State(state): State<AppState>,
    wait: Wait,
    headers: HeaderMap,
    lines: BodyLines,
) -> Result<Response, ApiError> {
    unconditional(&headers)?;
    let mut bulk = Bulk {
        state,
        lines,
        failed: None,
        ended: false,
        line: 1,
        revision: 0,
        count: Count::default(),
    };
    let first = bulk.step().await?;
    let (parts, body) = stream(UNREAD);
    tokio::spawn(bulk.go_on(first, wait, parts).in_current_span());
    Ok((NDJSON, body).into_response())
}

/// A condition of the request would be one on many products at once.
fn unconditional(headers: &HeaderMap) -> Result<(), ApiError> {
    let conditions = [
        (header::IF_MATCH, "If-Match"),
        (header::IF_NONE_MATCH, "If-None-Match"),
    ];
    for (header, name) in conditions {
        if headers.contains_key(header) {
            let reason =
                "a bulk takes no condition; write the product alone, by PUT, PATCH or DELETE";
            return Err(ApiError::parameter(name, reason));
        }
    }
    Ok(())
}

/// A bulk that is being written.
struct Bulk {
    state: AppState,
    lines: BodyLines,
    /// What ended the body before its end.
    failed: Option<ApiError>,
    ended: bool,
    /// The first line that has no answer.
    line: u64,
    /// The latest that was answered.
    revision: u64,
    count: Count,
}

#[derive(Default)]
struct Count {
    lines: u64,
    refused: u64,
}

impl Bulk {
    async fn go_on(mut self, first: Vec<u8>, wait: Wait, parts: Parts) {
        let mut answer = first;
        let whole = loop {
            if !answer.is_empty() && !parts.send(answer).await {
                break false;
            }
            if self.ended {
                break true;
            }
            match self.step().await {
                Ok(next) => answer = next,
                Err(error) => {
                    let mut last = Vec::new();
                    add_line(&mut last, &BulkStatus::new(self.line, None, Err(&error)));
                    parts.send(last).await;
                    tracing::warn!(
                        causes = error.causes(),
                        line = self.line,
                        "a bulk broke off: {error}"
                    );
                    parts.end().await;
                    return;
                }
            }
        };
        let Count { lines, refused } = self.count;
        tracing::info!(lines, refused, whole, "bulk written");
        if !whole {
            return;
        }
        if wait.0 {
            let until = Instant::now() + self.state.options.request_timeout;
            let searchable = self.state.service.searchable(self.revision, until).await;
            let revision = self.revision;
            let mut last = Vec::new();
            add_line(
                &mut last,
                &BulkEnd {
                    searchable,
                    revision,
                },
            );
            parts.send(last).await;
        }
        parts.end().await;
    }

    /// Writes the next lines in one transaction; their answers.
    async fn step(&mut self) -> Result<Vec<u8>, ApiError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let mut until = tokio::time::Instant::now();
        while lines.len() < BATCH && bytes < BATCH_BYTES {
            let next = if lines.is_empty() {
                let first = self.lines.next().await;
                until = tokio::time::Instant::now() + LINGER;
                first
            } else {
                match tokio::time::timeout_at(until, self.lines.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                }
            };
            match next {
                Ok(Some(line)) => {
                    bytes += line.text.as_ref().map_or(0, Bytes::len);
                    lines.push(line);
                }
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) if lines.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        self.write(lines).await
    }

    async fn write(&mut self, lines: Vec<BodyLine>) -> Result<Vec<u8>, ApiError> {
        let (mut writes, mut read) = (Vec::new(), Vec::with_capacity(lines.len()));
        for line in lines {
            let write = write_of_line(&line);
            read.push((line.number, write.map(|write| writes.push(write)).err()));
        }
        let results = if writes.is_empty() {
            Vec::new()
        } else {
            self.state.service.write(writes).await?
        };
        let mut results = results.into_iter();
        let mut answer = Vec::new();
        for (line, error) in read {
            let (id, result) = match error {
                Some(error) => (None, Err(error)),
                None => match results.next() {
                    Some(WriteResult { id, result }) => {
                        let id = id.map(|id| id.trim().to_owned());
                        (id, result.map_err(ApiError::from))
                    }
                    None => break,
                },
            };
            self.count.lines += 1;
            match &result {
                Ok(written) => self.revision = self.revision.max(written.revision),
                Err(_) => self.count.refused += 1,
            }
            add_line(
                &mut answer,
                &BulkStatus::new(line, id, result.as_ref().cloned()),
            );
        }
        self.line = self.lines.next_number();
        Ok(answer)
    }
}

/// All products
///
/// A line a product, in the catalog's order: as it came in, with `images` where all of its pictures
/// have addresses; each line can be sent back to `/products:bulk`. Filters are those of a search: the
/// list is then of the products that the index finds when it begins. Pages of 500 are read one after
/// the other: a product that changes meanwhile is as it was or as it is.
#[utoipa::path(
    get, path = "/products", operation_id = "all_products", tag = "products",
    params(("after" = Option<String>, Query, description = "The id of the product that the list begins behind: the last one of a list that broke off", max_length = 128), schema::FilterParams),
    responses(
        (
            status = 200, description = "A line of JSON for each product, a ProductInput", body = inline(schema::Binary), content_type = "application/x-ndjson",
            example = json!("{\"attributes\":{\"color\":[\"Red\"]},\"created\":\"2026-11-29T00:00:00Z\",\"id\":\"1\",\"price\":89.9,\"title\":\"Derby\"}\n"),
        ),
        ProductProblems,
    )
)]
pub async fn all_products(
    State(state): State<AppState>,
    listed: Listed,
    place: Option<Extension<Place>>,
) -> Result<Response, ApiError> {
    let mut products = state
        .service
        .all_products(listed.after.as_ref(), &listed.filters)
        .await?;
    let mut page = products.page().await?;
    let (parts, body) = stream(PAGES);
    let send = async move {
        // The request keeps its place in the work for as long as it is answered.
        let _place = place;
        while !page.is_empty() {
            let mut lines = Vec::new();
            for row in &page {
                add_line(&mut lines, row);
            }
            if !parts.send(lines).await {
                return;
            }
            page = match products.page().await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "a list of all products broke off");
                    return;
                }
            };
        }
        parts.end().await;
    };
    tokio::spawn(send.in_current_span());
    Ok((NDJSON, body).into_response())
}
