//! Counts as attributes of spans: OpenTelemetry's whole numbers have a sign.

/// The count, or the largest there is.
#[must_use]
pub fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
