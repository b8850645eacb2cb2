//! What the encoder reports of its cache, through the `metrics` facade.

use metrics::Counter;

/// Answers from the cache of query embeddings, and others.
pub struct CacheMeters {
    pub hits: Counter,
    pub misses: Counter,
}

impl CacheMeters {
    pub fn new() -> Self {
        metrics::describe_counter!(
            "aglet_encode_cache_total",
            "Queries by whether their embedding was known"
        );
        Self {
            hits: metrics::counter!("aglet_encode_cache_total", "outcome" => "hit"),
            misses: metrics::counter!("aglet_encode_cache_total", "outcome" => "miss"),
        }
    }
}
