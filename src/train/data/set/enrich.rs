//! A sentence about each product's photo, by a vision-language model.
//!
//! [`enrich`] takes a data set folder (see [`super::prepare`]) and asks a server that speaks
//! Ollama's API (`POST /api/generate` with the picture in base64,
//! <https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-completion>) about every
//! product. The answers become the entries' `sentence`, and the captions are made again with
//! them.
//!
//! Every answer is added to `sentences.jsonl` in the folder as soon as it is there, under the
//! sha256 of the model, the prompt and the picture: a run that was ended goes on where it stopped,
//! the same picture is asked about once, and another prompt or model asks again. A product that
//! cannot be described is left without a sentence and counted; a server that is not there, or does
//! not know the model, ends the run with an error and loses nothing.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::templates::{TemplateError, Templates};
use crate::catalog::{CatalogError, PictureFiles};
use crate::domain::single_spaced;
use crate::evaluate::data::data_set::{self, DataSetError, Entry, Side};
use crate::util::digest::hex;

#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    #[error(transparent)]
    Folder(#[from] DataSetError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error(transparent)]
    Pictures(#[from] CatalogError),
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{endpoint} refused: {reason}")]
    Refused { endpoint: String, reason: String },
    #[error("{endpoint} failed for {failures} products in a row, the last time with: {reason}")]
    Down {
        endpoint: String,
        failures: usize,
        reason: String,
    },
}

/// The server to ask, and how.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Such as `http://localhost:11434`.
    pub endpoint: String,
    pub model: String,
    pub prompt: String,
    /// Requests under way at a time.
    pub concurrency: usize,
    /// Tries of one request, the first counted.
    pub tries: u32,
    /// The wait after the first failure; it doubles with every further one.
    pub pause: Duration,
    /// The longest that one answer may take.
    pub patience: Duration,
}

/// So many products in a row that cannot be described mean that the server is at fault.
const DOWN: usize = 5;

/// Longest sentence kept, in characters: more than the text towers read.
const LONGEST: usize = 400;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Answers that the server gave in this run.
    pub asked: usize,
    /// Products whose answer was known already.
    pub known: usize,
    /// Products without an answer.
    pub failed: usize,
}

#[derive(Serialize, Deserialize)]
struct Known {
    key: String,
    sentence: String,
}

/// Asks about every product of the data set. Blocking. `done` hears how many of how many are
/// done.
///
/// # Errors
/// When the folder cannot be read or written, or the server cannot answer (see the module's docs).
pub fn enrich(
    folder: &Path,
    asking: &Asking,
    done: impl Fn(usize, usize) + Sync,
) -> Result<Summary, EnrichError> {
    let templates = Templates::open(&folder.join(data_set::CAPTIONS))?;
    let mut sides = Vec::new();
    for side in Side::ALL {
        sides.push((side, data_set::read_side(folder, side)?));
    }
    let path = folder.join("sentences.jsonl");
    let mut sentences = known(&path)?;
    let keys = keys(&sides, asking)?;
    let mut seen = HashSet::new();
    let all = sides.iter().flat_map(|(_, entries)| entries);
    let todo: Vec<(&Entry, &str)> = all
        .filter_map(|entry| Some((entry, keys.get(&entry.id)?.as_str())))
        .filter(|(_, key)| !sentences.contains_key(*key) && seen.insert(*key))
        .collect();
    let products = sides
        .iter()
        .map(|(_, entries)| entries.len())
        .sum::<usize>();
    let known = keys
        .values()
        .filter(|key| sentences.contains_key(*key))
        .count();
    let journal = Journal::open(path)?;
    let answers = ask_all(&todo, asking, &journal, &|n| {
        done(products - todo.len() + n, products);
    })?;
    let asked = answers.len();
    sentences.extend(answers);
    let mut failed = 0;
    for (side, entries) in &mut sides {
        for entry in entries.iter_mut() {
            entry.sentence = keys
                .get(&entry.id)
                .and_then(|key| sentences.get(key))
                .cloned();
            failed += usize::from(entry.sentence.is_none());
            entry.captions = templates.fill(entry);
        }
        data_set::write_side(folder, *side, entries)?;
    }
    Ok(Summary {
        asked,
        known,
        failed,
    })
}

/// The answers of earlier runs; a line that a kill cut short is skipped.
fn known(path: &Path) -> Result<HashMap<String, String>, EnrichError> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            return Err(EnrichError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Known>(line).ok());
    Ok(lines.map(|known| (known.key, known.sentence)).collect())
}

/// Product id -> the key of its answer. A picture that is gone has none.
fn keys(
    sides: &[(Side, Vec<Entry>)],
    asking: &Asking,
) -> Result<HashMap<String, String>, EnrichError> {
    let photos = PictureFiles::default();
    let mut keys = HashMap::new();
    for entry in sides.iter().flat_map(|(_, entries)| entries) {
        let Some(picture) = photos.read(&entry.image.clone().into())? else {
            continue;
        };
        let mut hash = Sha256::new();
        for text in [&asking.model, &asking.prompt] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(&picture);
        let key = hex(&hash.finalize());
        keys.insert(entry.id.clone(), key);
    }
    Ok(keys)
}

/// The file of answers; each is on the disk before it counts.
struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    fn open(path: PathBuf) -> Result<Self, EnrichError> {
        let open = || -> std::io::Result<File> {
            let torn =
                std::fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|&b| b != b'\n'));
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            if torn {
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self {
                path,
                file: Mutex::new(file),
            }),
            Err(source) => Err(EnrichError::Io { path, source }),
        }
    }

    fn add(&self, key: &str, sentence: &str) -> Result<(), EnrichError> {
        let known = Known {
            key: key.to_owned(),
            sentence: sentence.to_owned(),
        };
        let line = serde_json::to_string(&known).expect("two strings") + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .map_err(|source| EnrichError::Io {
                path: self.path.clone(),
                source,
            })
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    next: usize,
    through: usize,
    failures: usize,
    answers: HashMap<String, String>,
    stop: bool,
}

fn ask_all(
    todo: &[(&Entry, &str)],
    asking: &Asking,
    journal: &Journal,
    done: &(impl Fn(usize) + Sync),
) -> Result<HashMap<String, String>, EnrichError> {
    let shared = Mutex::new(Shared::default());
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(asking.patience))
        .http_status_as_error(false)
        .build()
        .into();
    let photos = PictureFiles::default();
    let work = || -> Result<(), EnrichError> {
        loop {
            let at = {
                let mut shared = lock();
                if shared.stop || shared.next == todo.len() {
                    return Ok(());
                }
                shared.next += 1;
                shared.next - 1
            };
            let (entry, key) = todo[at];
            let picture = photos
                .read(&entry.image.clone().into())?
                .unwrap_or_default();
            let answer = ask(&agent, asking, &picture);
            let mut shared = lock();
            match answer {
                Ok(sentence) => {
                    journal.add(key, &sentence)?;
                    shared.answers.insert(key.to_owned(), sentence);
                    shared.failures = 0;
                }
                Err(Failure::Refused(reason)) => {
                    return Err(EnrichError::Refused {
                        endpoint: asking.endpoint.clone(),
                        reason,
                    });
                }
                Err(Failure::Product(reason)) => {
                    tracing::warn!(product = entry.id, reason, "no sentence");
                    shared.failures = 0;
                }
                Err(Failure::Passing(reason)) => {
                    tracing::warn!(product = entry.id, reason, "no sentence");
                    shared.failures += 1;
                    if shared.failures >= DOWN {
                        let (endpoint, failures) = (asking.endpoint.clone(), shared.failures);
                        return Err(EnrichError::Down {
                            endpoint,
                            failures,
                            reason,
                        });
                    }
                }
            }
            shared.through += 1;
            let through = shared.through;
            drop(shared);
            done(through);
        }
    };
    std::thread::scope(|scope| {
        let stopping = || work().inspect_err(|_| lock().stop = true);
        let threads: Vec<_> = (0..asking.concurrency.max(1))
            .map(|_| scope.spawn(stopping))
            .collect();
        threads.into_iter().try_for_each(|t| {
            t.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(shared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .answers)
}

/// Why there is no sentence.
enum Failure {
    /// It may work the next time.
    Passing(String),
    /// This picture will never work.
    Product(String),
    /// No picture will ever work: the model does not exist, or access is denied.
    Refused(String),
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    prompt: &'a str,
    images: [String; 1],
    stream: bool,
    options: Options,
}

/// The same picture gives the same sentence, if the server can do that.
#[derive(Serialize)]
struct Options {
    temperature: f32,
    seed: u32,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    response: String,
    error: Option<String>,
}

/// Asks until there is an answer, as often as is allowed.
fn ask(agent: &ureq::Agent, asking: &Asking, picture: &[u8]) -> Result<String, Failure> {
    let mut pause = asking.pause;
    let mut tries = 1;
    loop {
        match ask_once(agent, asking, picture) {
            Err(Failure::Passing(_)) if tries < asking.tries => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_mins(1));
                tries += 1;
            }
            result => return result,
        }
    }
}

fn ask_once(agent: &ureq::Agent, asking: &Asking, picture: &[u8]) -> Result<String, Failure> {
    let question = Question {
        model: &asking.model,
        prompt: &asking.prompt,
        images: [base64(picture)],
        stream: false,
        options: Options {
            temperature: 0.0,
            seed: 0,
        },
    };
    let url = format!("{}/api/generate", asking.endpoint.trim_end_matches('/'));
    let body = serde_json::to_vec(&question).expect("a question is plain data");
    let sent = agent
        .post(&url)
        .header("content-type", "application/json")
        .send(&body);
    let passing = |error: ureq::Error| Failure::Passing(error.to_string());
    let mut response = sent.map_err(passing)?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(1 << 20)
        .read_to_string()
        .map_err(passing)?;
    let answer: Option<Answer> = serde_json::from_str(&text).ok();
    let said = answer
        .as_ref()
        .and_then(|a| a.error.clone())
        .unwrap_or_default();
    match status {
        200 if said.is_empty() => {
            let answer = answer.ok_or_else(|| {
                Failure::Passing("an answer that is not a JSON object".to_owned())
            })?;
            sentence(&answer.response).ok_or_else(|| Failure::Product("an empty answer".to_owned()))
        }
        401 | 403 | 404 => Err(Failure::Refused(format!("status {status} {said}"))),
        408 | 429 | 500.. | 200 => Err(Failure::Passing(format!("status {status} {said}"))),
        _ => Err(Failure::Product(format!("status {status} {said}"))),
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let at = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[at as usize])
            } else {
                '='
            });
        }
    }
    text
}

/// The first sentence of an answer, on one line: models like to go on.
fn sentence(answer: &str) -> Option<String> {
    let text = single_spaced(answer);
    let end = text
        .char_indices()
        .find(|&(at, c)| matches!(c, '.' | '!' | '?') && text[at + 1..].starts_with(' '))
        .map_or(text.len(), |(at, _)| at + 1);
    let first: String = text[..end].chars().take(LONGEST).collect();
    (!first.is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::{base64, sentence};

    #[test]
    fn base64_is_the_standards() {
        // The test vectors of RFC 4648, section 10.
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn the_first_sentence_is_kept() {
        let said = " The image shows\na pair of No.7 shoes. They are placed on a white surface.";
        assert_eq!(
            sentence(said).as_deref(),
            Some("The image shows a pair of No.7 shoes.")
        );
        assert_eq!(sentence("A shoe").as_deref(), Some("A shoe"));
        assert_eq!(sentence("Très chic! Oui.").as_deref(), Some("Très chic!"));
        assert_eq!(sentence(" \n "), None);
        assert_eq!(
            sentence(&"é".repeat(500)).map(|s| s.chars().count()),
            Some(400)
        );
    }
}
