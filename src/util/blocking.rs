//! CPU and file work off the async threads.

/// The work panicked, or the runtime is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("background work ended without a result: {0}")]
pub struct BlockingError(#[from] tokio::task::JoinError);

/// Runs CPU or file work on the blocking threads, within the caller's log span. A panic in `work`
/// is the caller's error and nobody else's.
///
/// # Errors
/// When `work` panicked or the runtime is shutting down.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let span = tracing::Span::current();
    Ok(tokio::task::spawn_blocking(move || span.in_scope(work)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_callers_error() {
        let error = blocking(|| -> u32 { panic!("broken") })
            .await
            .expect_err("must fail");
        assert!(error.0.is_panic());
        assert_eq!(blocking(|| 7).await.expect("works"), 7);
    }
}
