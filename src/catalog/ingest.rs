//! How products come in, and how those without an embedding get one: where `catalog` meets `encode`.
