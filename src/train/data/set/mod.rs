pub mod enrich;
pub mod prepare;
pub mod split;
pub mod templates;
