//! A running service as an [`Engine`]: a client that knows the public API and nothing else.
//!
//! A photo goes up as a real upload (multipart), attributes come out of the hits. A busy service
//! (503, 429) is asked again after the time that it names; other errors end the case that met them,
//! with the problem document's code.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use ureq::unversioned::multipart::{Form, Part};
use ureq::{Agent, Body, http::Response};

use super::engine::{Ask, Engine, Found, How, Need, Subject};
use super::error::{ApiError, EngineError};
use crate::domain::{AttributeName, AttributeValue, Attributes, MOST_EXCLUDED, ProductId, Window};
use crate::util::percent;

const ATTEMPTS: u32 = 6;
/// Longest wait that a service may ask for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running service.
pub struct ApiEngine {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    /// What ranks a question in words; `None`: as the service does by itself.
    mode: Option<String>,
    /// Whether products are ranked that are not meant.
    all: bool,
    subject: Subject,
}

#[derive(Deserialize)]
struct Answer {
    hits: Vec<Hit>,
    estimated_total: usize,
    model: Model,
    /// The share of words in the products' vectors; a service of before that does not say it.
    words_percent: Option<u8>,
}

#[derive(Deserialize)]
struct Hit {
    id: String,
    score: f32,
    product: ProductOfHit,
}

#[derive(Deserialize)]
struct ProductOfHit {
    title: String,
    #[serde(default)]
    attributes: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Deserialize)]
struct Model {
    name: String,
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    title: String,
}

impl ApiEngine {
    /// Asks the service who it is. `key` is sent as a bearer token.
    ///
    /// # Errors
    /// When the service cannot be reached, is not ready, or does not speak this API.
    pub fn connect(base: &str, key: Option<&str>) -> Result<Self, ApiError> {
        Self::connect_by(base, key, None)
    }

    /// As [`ApiEngine::connect`], with the API's `mode` for questions in words.
    ///
    /// # Errors
    /// As [`ApiEngine::connect`].
    pub fn connect_by(base: &str, key: Option<&str>, mode: Option<&str>) -> Result<Self, ApiError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(2)))
            .user_agent(concat!("aglet-evaluate/", env!("CARGO_PKG_VERSION")))
            .build();
        let mut engine = Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            authorization: key.map(|key| format!("Bearer {key}")),
            mode: mode.map(str::to_owned),
            all: true,
            subject: Subject {
                model: String::new(),
                model_id: String::new(),
                at: base.to_owned(),
                how: How::Api,
                words_percent: None,
            },
        };
        let answer = engine.ask(&Ask::Text("shoes"), &[], &[], 1, 0)?;
        (engine.subject.model, engine.subject.model_id) = (answer.model.name, answer.model.id);
        engine.subject.words_percent = answer.words_percent;
        Ok(engine)
    }

    /// Asks as a shop does: for the products that are meant alone.
    #[must_use]
    pub fn meant_alone(self) -> Self {
        Self { all: false, ..self }
    }

    /// How many products of the service match the filters.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn count(&self, filters: &[(AttributeName, AttributeValue)]) -> Result<usize, ApiError> {
        Ok(self
            .ask(&Ask::Text("shoes"), filters, &[], 1, 0)?
            .estimated_total)
    }

    fn ask(
        &self,
        ask: &Ask<'_>,
        filters: &[(AttributeName, AttributeValue)],
        exclude: &[ProductId],
        limit: usize,
        offset: usize,
    ) -> Result<Answer, ApiError> {
        let (limit, offset) = (limit.to_string(), offset.to_string());
        let window = [("limit", limit.as_str()), ("offset", offset.as_str())];
        let fields = window
            .into_iter()
            .chain(filters.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        // The service must know: a product that is left out has no vote on what a photo shows.
        let fields = fields.chain(
            exclude
                .iter()
                .take(MOST_EXCLUDED)
                .map(|id| ("exclude", id.as_str())),
        );
        let (url, mut response) = match ask {
            Ask::Text(text) => {
                let url = format!("{}/search", self.base);
                // Those that are not meant come last, and a question that is about some products
                // alone finds them there.
                let cut = self.all.then_some(("cut", "none"));
                let words = std::iter::once(("q", *text)).chain(cut);
                let words = words.chain(self.mode.as_deref().map(|mode| ("mode", mode)));
                let fields: Vec<_> = words.chain(fields).collect();
                let send = || {
                    self.allow(self.agent.get(&url).query_pairs(fields.iter().copied()))
                        .call()
                };
                (url.clone(), Self::patiently(&url, send)?)
            }
            Ask::Photo(file) => {
                let url = format!("{}/search/image", self.base);
                let fields: Vec<_> = fields.collect();
                let send = || {
                    let photo = Part::bytes(file)
                        .file_name("photo")
                        .mime_str("application/octet-stream")?;
                    let form = fields
                        .iter()
                        .fold(Form::new(), |form, (name, value)| form.text(name, value));
                    self.allow(self.agent.post(&url))
                        .send(form.part("image", photo))
                };
                (url.clone(), Self::patiently(&url, send)?)
            }
        };
        let text = response
            .body_mut()
            .read_to_string()
            .map_err(|source| ApiError::Transport {
                url: url.clone(),
                source: Box::new(source),
            })?;
        serde_json::from_str(&text).map_err(|e| ApiError::Answer {
            url,
            reason: e.to_string(),
        })
    }

    fn allow<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(token) => request.header("authorization", token),
            None => request,
        }
    }

    /// Sends until the service has time for it.
    fn patiently(
        url: &str,
        send: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, ApiError> {
        let mut attempt = 1;
        loop {
            let mut response = send().map_err(|source| ApiError::Transport {
                url: url.to_owned(),
                source: Box::new(source),
            })?;
            let status = response.status().as_u16();
            if status == 200 {
                return Ok(response);
            }
            if matches!(status, 429 | 503) && attempt < ATTEMPTS {
                let named = response
                    .headers()
                    .get("retry-after")
                    .and_then(|v| v.to_str().ok()?.parse().ok());
                std::thread::sleep(Duration::from_secs(named.unwrap_or(1)).min(PATIENCE));
                attempt += 1;
                continue;
            }
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let problem: Problem = serde_json::from_str(&text).unwrap_or_default();
            let detail = if problem.detail.is_empty() {
                problem.title
            } else {
                problem.detail
            };
            return Err(ApiError::Status {
                url: url.to_owned(),
                status,
                code: problem.code,
                detail,
            });
        }
    }
}

impl Engine for ApiEngine {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError> {
        let mut found = Vec::with_capacity(need.results);
        let mut offset = 0;
        let mut limit = need.results + need.exclude.len();
        while offset <= Window::MAX_OFFSET {
            limit = limit.min(Window::MAX_LIMIT);
            let answer = self.ask(ask, need.filters, need.exclude, limit, offset)?;
            let (came, total) = (answer.hits.len(), answer.estimated_total);
            for hit in answer.hits {
                let hit = read_hit(hit)?;
                if !need.exclude.contains(&hit.id) && (need.among)(&hit.id) {
                    found.push(hit);
                }
            }
            offset += came;
            if found.len() >= need.results || came == 0 || offset >= total {
                break;
            }
            // Products are passed over (the split): the next pages are large.
            limit = Window::MAX_LIMIT;
        }
        found.truncate(need.results);
        Ok(found)
    }

    fn picture(&mut self, id: &ProductId) -> Option<Bytes> {
        let id = percent::encode(id.as_str());
        let url = format!("{}/products/{id}/image", self.base);
        let mut response =
            Self::patiently(&url, || self.allow(self.agent.get(&url)).call()).ok()?;
        response.body_mut().read_to_vec().ok().map(Bytes::from)
    }
}

fn read_hit(hit: Hit) -> Result<Found, EngineError> {
    let mut attributes = Attributes::new();
    for (name, values) in hit.product.attributes {
        let values: Result<Vec<_>, _> = values.iter().map(|v| AttributeValue::new(v)).collect();
        attributes.insert(AttributeName::new(&name)?, values?);
    }
    Ok(Found {
        id: ProductId::new(&hit.id)?,
        title: hit.product.title,
        attributes,
        score: hit.score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_words_is_a_field_of_the_answer() {
        let answer = |more: &str| {
            let model = r#""model": {"name": "small", "id": "3fa2"}"#;
            let text = format!(r#"{{"hits": [], "estimated_total": 0, {model}{more}}}"#);
            serde_json::from_str::<Answer>(&text).expect("an answer")
        };
        let said = answer(r#", "words_percent": 30, "index_version": "17-3fa2c9d01b22-w0""#);
        assert_eq!(said.words_percent, Some(30));
        assert_eq!(answer("").words_percent, None, "an earlier service");
    }
}
