//! What moves the weights.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`loss`] | the losses between photos and words |
//! | [`optimizer`] | AdamW, SGD and Adagrad, and the clipping of gradients |
//! | [`scheduler`] | the learning rate over a run |
//! | [`average`] | the averaged weights |

pub mod average;
pub mod loss;
pub mod optimizer;
pub mod scheduler;
