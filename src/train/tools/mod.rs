//! What is done around a run.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`label`] | a local page on which a person labels photos |
//! | [`score`] | measures a checkpoint |
//! | [`interpolate`] | mixes a base with what fine-tuning made of it |
//! | [`stand_in`] | a checkpoint of FashionCLIP's shape with random weights |
//! | [`mod@bench`] | one step after the other, to be timed |

pub mod bench;
pub mod interpolate;
pub mod label;
pub mod score;
pub mod stand_in;
