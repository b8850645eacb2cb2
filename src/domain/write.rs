//! What whoever runs the shop changes about one product, and what became of it.

use serde_json::{Map, Value};

use super::product::ProductId;

/// One change of one product.
#[derive(Clone, Debug)]
pub struct Write {
    /// `None`: the member `id` of the JSON says it.
    pub id: Option<ProductId>,
    pub op: WriteOp,
    /// A row of the JSON Lines format, a patch of one, or nothing but the id of what is deleted.
    pub json: Map<String, Value>,
    pub conditions: Conditions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// The product is what the JSON says, and nothing else.
    Put,
    /// The JSON is merged into the product's own (RFC 7396).
    Patch,
    Delete,
    /// The picture of this number is one that was uploaded, whose sha256 this is.
    PutPicture(u8, [u8; 32]),
    DeletePicture(u8),
}

/// What must be so of the product for a change to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// It has one of these versions.
    pub is: Option<Versions>,
    /// It has none of these.
    pub is_not: Option<Versions>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Any, so long as the product is there.
    Any,
    These(Vec<u64>),
}

impl Versions {
    fn hold(&self, version: Option<u64>) -> bool {
        match (self, version) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(these), Some(version)) => these.contains(&version),
        }
    }
}

impl Conditions {
    /// Whether they are met by a product of this version; `None`: there is none.
    #[must_use]
    pub fn met(&self, version: Option<u64>) -> bool {
        self.is.as_ref().is_none_or(|is| is.hold(version))
            && !self.is_not.as_ref().is_some_and(|not| not.hold(version))
    }
}

/// What became of a change, with the id as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteResult {
    pub id: Option<String>,
    pub result: Result<Written, Refused>,
}

/// A change that was made, or need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub status: WriteStatus,
    /// The revision of the catalog in which the product became what it is, or was deleted: its
    /// version.
    pub revision: u64,
    /// Fields that were given and mean nothing here.
    pub ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStatus {
    Created,
    Changed,
    Unchanged,
    Deleted,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no product {id:?}")]
    NoProduct { id: String },
    #[error("the product {id:?} has no picture {number}")]
    NoPicture { id: String, number: u8 },
    /// `version`: of the product as it is; `None` when there is none.
    #[error("the product is not in the state that the request asks for")]
    Condition { version: Option<u64> },
    #[error(transparent)]
    Field(#[from] FieldFault),
}

/// What is wrong with a field of a product.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FieldFault {
    /// `title`, `attributes.color`.
    pub field: String,
    pub reason: String,
}

impl FieldFault {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// Merges `patch` into `target` as RFC 7396 has it: null removes, an object is merged, anything else
/// takes the place of what was there.
pub fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(inner) => {
                let place = target.entry(name).or_insert(Value::Null);
                let mut merged = match place.take() {
                    Value::Object(there) => there,
                    _ => Map::new(),
                };
                merge(&mut merged, inner);
                *place = Value::Object(merged);
            }
            other => {
                target.insert(name, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A, whose target and patch are objects.
    #[test]
    fn merges_as_the_standard_does() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (target, patch, expected) in cases {
            let (Value::Object(mut merged), Value::Object(patch)) = (target.clone(), patch.clone())
            else {
                panic!("objects");
            };
            merge(&mut merged, patch.clone());
            assert_eq!(Value::Object(merged), expected, "{target} {patch:?}");
        }
    }

    #[test]
    fn conditions() {
        let these = |versions: &[u64]| Some(Versions::These(versions.to_vec()));
        let is = |is| Conditions { is, is_not: None };
        let is_not = |is_not| Conditions { is: None, is_not };
        assert!(Conditions::default().met(None) && Conditions::default().met(Some(1)));
        assert!(is(these(&[1, 2])).met(Some(2)) && !is(these(&[1, 2])).met(Some(3)));
        assert!(!is(these(&[1])).met(None) && !is(these(&[])).met(Some(1)));
        assert!(is(Some(Versions::Any)).met(Some(7)) && !is(Some(Versions::Any)).met(None));
        assert!(!is_not(Some(Versions::Any)).met(Some(7)) && is_not(Some(Versions::Any)).met(None));
        assert!(!is_not(these(&[1])).met(Some(1)) && is_not(these(&[1])).met(Some(2)));
    }
}
