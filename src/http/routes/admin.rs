//! `/admin/keys`, `/admin/model`, `/admin/reload`: the keys of the API, the model that answers, and
//! settings taken over.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::config::Reloaded;
use crate::domain::{ApiKeyRecord, NewApiKey, NewKeyFault, Rate, Scope, Served, Wanted};
use crate::http::input::body::JsonBody;
use crate::http::input::json::count;
use crate::http::output::error::{
    AdminProblems, ApiError, KeyProblems, NewKeyProblems, ReloadProblems, RollbackProblems, short,
};
use crate::http::output::view::ModelInfo;
use crate::http::state::{AppState, ReloadFault};
use crate::service::access::NoNewKey;

/// What a key is good for; each holds those before it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeName {
    /// Searches, single products.
    Search,
    /// Products are written and listed.
    Write,
    /// Keys, and the service itself.
    Admin,
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Search => Self::Search,
            Scope::Write => Self::Write,
            Scope::Admin => Self::Admin,
        }
    }
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Search => Self::Search,
            ScopeName::Write => Self::Write,
            ScopeName::Admin => Self::Admin,
        }
    }
}

/// A key as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "the shop's pages", "scope": "search", "origins": ["https://shop.example"], "requests_per_second": 5}))]
pub struct KeyBody {
    /// What its owner is called.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    scope: ScopeName,
    /// Web origins whose pages may use it: it is a browser's then, and can only search. None: it is for
    /// the shop's own systems.
    #[schema(example = json!(["https://shop.example"]))]
    origins: Option<Vec<String>>,
    /// When it stops being good, as RFC 3339 has it; never when not given.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Requests a second that it may make; one with origins, from each address. 0 or not given: any
    /// number.
    #[serde(default, deserialize_with = "count")]
    requests_per_second: Option<u32>,
    /// Requests that it may make at once; 0 or not given: what ten seconds give.
    #[serde(default, deserialize_with = "count")]
    burst: Option<u32>,
}

impl KeyBody {
    fn key(self) -> Result<NewApiKey, ApiError> {
        let expires = self.expires.as_deref().map(|text| {
            let time: Result<Timestamp, _> = text.parse();
            let time = time
                .ok()
                .and_then(|time| u64::try_from(time.as_second()).ok());
            let reason = "it is not a time such as 2027-01-31T12:00:00Z";
            time.ok_or_else(|| ApiError::parameter("expires", reason))
        });
        let [per_second, burst] =
            [self.requests_per_second, self.burst].map(Option::unwrap_or_default);
        if burst > 0 && per_second == 0 {
            let reason = "it goes with requests_per_second";
            return Err(ApiError::parameter("burst", reason));
        }
        Ok(NewApiKey {
            name: self.name,
            scope: self.scope.into(),
            origins: self.origins.unwrap_or_default(),
            expires: expires.transpose()?,
            rate: Rate::new(per_second, burst),
        })
    }
}

/// What is kept of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Stands in logs for the key.
    id: String,
    name: String,
    scope: ScopeName,
    origins: Vec<String>,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Since when it is good for nothing.
    #[schema(format = DateTime)]
    revoked: Option<String>,
    /// Null: any number.
    requests_per_second: Option<u32>,
    burst: Option<u32>,
}

impl From<ApiKeyRecord> for KeyView {
    fn from(key: ApiKeyRecord) -> Self {
        let time = |seconds: u64| {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
        };
        Self {
            id: key.id,
            name: key.name,
            scope: key.scope.into(),
            origins: key.origins,
            created: time(key.created),
            expires: key.expires.map(time),
            revoked: key.revoked.map(time),
            requests_per_second: key.rate.map(|rate| rate.per_second.get()),
            burst: key.rate.map(|rate| rate.burst.get()),
        }
    }
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub struct NewKey {
    /// The key itself. It is told this once: only a hash of it is kept.
    key: String,
    #[serde(flatten)]
    kept: KeyView,
}

#[derive(Serialize, ToSchema)]
pub struct KeyList {
    /// The oldest first, revoked ones too.
    keys: Vec<KeyView>,
}

/// A model, and what else decides on the vectors of the products.
#[derive(Serialize, ToSchema)]
pub struct ServedView {
    /// Its folder: a name beside the folder of the setting `model`, or a path.
    model: String,
    /// Share of the words in a product's vector, in percent; null: that of the settings.
    words_percent: Option<u8>,
}

impl From<&Served> for ServedView {
    fn from(served: &Served) -> Self {
        Self {
            model: served.model.display().to_string(),
            words_percent: served.words_percent,
        }
    }
}

/// A change of the model.
#[derive(Serialize, ToSchema)]
pub struct ChangeView {
    to: ServedView,
    /// `waiting`, `loading`, `embedding`, `indexing`, `checking`, or `failed`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why it was given up; the model in use stays.
    reason: Option<String>,
    /// Words and pictures that were embedded since this service began, and that wait.
    embedded: u64,
    waiting: u64,
    /// Seconds that the embedding will take at the pace so far.
    remaining_s: Option<u64>,
}

/// Which model answers.
#[derive(Serialize, ToSchema)]
pub struct ModelReport {
    /// Its name and id.
    model: ModelInfo,
    current: ServedView,
    /// What answered before: `POST /admin/model/rollback` brings it back.
    previous: Option<ServedView>,
    /// What is to answer; null when nothing is to change.
    change: Option<ChangeView>,
}

/// The model that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "aglet-small"}))]
pub struct ModelBody {
    /// The name of a folder beside that of the setting `model`; the one in use when not given.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: Option<String>,
    /// Share of the words in a product's vector, in percent; that of the settings when not given.
    #[serde(default, deserialize_with = "count")]
    #[schema(maximum = 100)]
    words_percent: Option<u8>,
}

/// Settings that were read again.
#[derive(Serialize, ToSchema)]
pub struct ReloadReport {
    /// Settings that have another value now.
    changed: Vec<String>,
    /// Settings that were changed, and will have the other value after the next start.
    at_start: Vec<String>,
}

/// All keys
#[utoipa::path(
    get, path = "/admin/keys", operation_id = "keys", tag = "admin",
    responses((status = 200, description = "Keys, without what they are", body = KeyList), AdminProblems)
)]
pub async fn keys(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let keys = state.service.keys().await?;
    let keys = keys.into_iter().map(KeyView::from).collect();
    Ok((
        [(header::CACHE_CONTROL, "no-store")],
        Json(KeyList { keys }),
    ))
}

/// Make a key
///
/// It is good at once, and at other services of the same catalog within a second. The first key that is
/// made shuts the service to whoever has none, but for what `open_search` leaves open.
#[utoipa::path(
    post, path = "/admin/keys", operation_id = "make_key", tag = "admin",
    request_body = KeyBody,
    responses((status = 201, description = "The key", body = NewKey), NewKeyProblems)
)]
pub async fn make_key(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<KeyBody>,
) -> Result<impl IntoResponse, ApiError> {
    let made = state.service.make_key(body.key()?).await;
    let (key, kept) = made.map_err(|fault| match fault {
        NoNewKey::Service(error) => error.into(),
        NoNewKey::Fault(fault) => {
            let name = match fault {
                NewKeyFault::Name => "name",
                NewKeyFault::Origin(_) => "origins",
                NewKeyFault::Public => "scope",
                NewKeyFault::Expired => "expires",
            };
            ApiError::parameter(name, fault)
        }
    })?;
    let made = NewKey {
        key: key.text(),
        kept: kept.into(),
    };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(made)))
}

/// Revoke a key
///
/// For good, and at once; at other services of the same catalog within a second.
#[utoipa::path(
    delete, path = "/admin/keys/{id}", operation_id = "revoke_key", tag = "admin",
    params(("id" = String, Path, description = "The id of the key")),
    responses((status = 200, description = "The key, as it is kept", body = KeyView), KeyProblems)
)]
pub async fn revoke_key(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let revoked = state.service.revoke_key(&id).await?;
    let revoked = revoked.ok_or_else(|| ApiError::NoKey { id: short(&id) })?;
    Ok(Json(revoked.into()))
}

/// Which model answers
#[utoipa::path(
    get, path = "/admin/model", operation_id = "model", tag = "admin",
    responses((status = 200, description = "The model, and how far a change of it is", body = ModelReport), AdminProblems)
)]
pub async fn model(State(state): State<AppState>) -> Result<Json<ModelReport>, ApiError> {
    report(&state).await.map(Json)
}

/// Change the model
///
/// Beside the model in use, which goes on answering, the other one embeds the catalog at low priority,
/// is indexed, checked, and takes its place in one step. What is embedded stays, whatever ends the
/// service meanwhile. Every service of the catalog changes.
#[utoipa::path(
    post, path = "/admin/model", operation_id = "change_model", tag = "admin",
    request_body = ModelBody,
    responses((status = 202, description = "It is on the way", body = ModelReport), NewKeyProblems)
)]
pub async fn change_model(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<ModelBody>,
) -> Result<impl IntoResponse, ApiError> {
    let model = match body.model {
        None => state.service.answering_with().await?.current.model,
        // A path could name any folder of the machine.
        Some(name) if is_name(&name) => name.into(),
        Some(_) => {
            return Err(ApiError::parameter(
                "model",
                "it is not the name of a folder",
            ));
        }
    };
    if body.words_percent.is_some_and(|percent| percent > 100) {
        return Err(ApiError::parameter("words_percent", "it goes to 100"));
    }
    let served = Served {
        model,
        words_percent: body.words_percent,
    };
    state.service.want_model(&served).await?;
    Ok((StatusCode::ACCEPTED, Json(report(&state).await?)))
}

/// Bring the model back that answered before
///
/// As a change of the model, but for the check: what it embedded is there, so that it takes seconds.
#[utoipa::path(
    post, path = "/admin/model/rollback", operation_id = "roll_model_back", tag = "admin",
    responses((status = 202, description = "It is on the way", body = ModelReport), RollbackProblems)
)]
pub async fn roll_model_back(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    if !state.service.want_previous().await? {
        return Err(ApiError::NothingBefore);
    }
    Ok((StatusCode::ACCEPTED, Json(report(&state).await?)))
}

/// Give up a change of the model
///
/// What was embedded for it is kept for `keep_days`.
#[utoipa::path(
    delete, path = "/admin/model", operation_id = "keep_model", tag = "admin",
    responses((status = 200, description = "The model in use stays", body = ModelReport), AdminProblems)
)]
pub async fn keep_model(State(state): State<AppState>) -> Result<Json<ModelReport>, ApiError> {
    state.service.stay().await?;
    report(&state).await.map(Json)
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain)
}

async fn report(state: &AppState) -> Result<ModelReport, ApiError> {
    let answering = state.service.answering_with().await?;
    let running = answering.change;
    // What another service has chosen is not wanted any more, and this one may still be at it.
    let at_it = running.as_ref().map(|status| Wanted {
        served: status.served.clone(),
        checked: false,
        failed: None,
    });
    let wanted = answering.serving.wanted.or(at_it);
    let change = wanted.map(|wanted| {
        let running = running.filter(|status| status.served == wanted.served);
        let counted = running.as_ref();
        ChangeView {
            to: (&wanted.served).into(),
            state: match (&wanted.failed, counted) {
                (Some(_), _) => "failed",
                (None, Some(status)) => status.step.as_str(),
                (None, None) => "waiting",
            },
            reason: wanted.failed,
            embedded: counted.map_or(0, |status| status.embedded),
            waiting: counted.map_or(0, |status| status.waiting),
            remaining_s: counted.and_then(|status| Some(status.remaining?.as_secs())),
        }
    });
    Ok(ModelReport {
        model: state.service.generation().model().into(),
        current: (&answering.current).into(),
        previous: answering.serving.previous.as_ref().map(Into::into),
        change,
    })
}

/// Read the settings again
///
/// As SIGHUP does: the file of settings is read, and what can change while the service runs is taken
/// over, all of it or nothing; keys and the certificate too.
#[utoipa::path(
    post, path = "/admin/reload", operation_id = "reload", tag = "admin",
    responses((status = 200, description = "What came of it", body = ReloadReport), ReloadProblems)
)]
pub async fn reload(State(state): State<AppState>) -> Result<Json<ReloadReport>, ApiError> {
    let gone = || ApiError::internal("nobody takes settings over", ReloadFault(String::new()));
    let reloads = state.reloads.ok_or_else(gone)?;
    let (answer, answered) = oneshot::channel();
    reloads.send(answer).await.map_err(|_| gone())?;
    let reloaded = answered.await.map_err(|_| gone())?;
    let Reloaded { changed, at_start } = reloaded?;
    Ok(Json(ReloadReport { changed, at_start }))
}
