pub mod interpolate;
pub mod label;
