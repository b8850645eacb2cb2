//! Figures out of answers: pure functions, without models, pictures or files.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`metrics`] | what one ordered list of results is worth: precision, recall, nDCG, MRR, MAP |
//! | [`classification`] | scikit-learn's classification report, top 5, the rank score |
//! | [`scoring`] | the four scorings of the retrieval suite, their maxima, the levels |
//! | [`bootstrap`] | 95% intervals and paired tests of two models |
//! | [`figure`] | a named figure, and the values that it is the mean of |

pub mod bootstrap;
pub mod classification;
pub mod figure;
pub mod metrics;
pub mod scoring;
