//! Figures as bars.

use std::fmt::Write as _;

use super::elements::{meter, signed};
use crate::evaluate::report::markup::escaped;
use crate::evaluate::stats::figure::{Figure, percent};

/// Figures as bars with their intervals; the baseline's beside them.
pub fn bars(figures: &[Figure], base: &[Figure]) -> String {
    let mut html =
        "<div class=\"scroll\"><table><thead><tr><th>figure<th>value<th>95% interval<th>"
            .to_owned();
    html.push_str(if base.is_empty() {
        "<tbody>\n"
    } else {
        "<th>baseline<th>difference<tbody>\n"
    });
    for figure in figures {
        let e = &figure.estimate;
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td class=\"soft\">{:.1} &ndash; {:.1}<td>{}",
            escaped(&figure.name),
            percent(e.value),
            e.interval.low * 100.0,
            e.interval.high * 100.0,
            meter(e.value, Some((e.interval.low, e.interval.high)), "")
        );
        if let Some(other) = base.iter().find(|b| b.name == figure.name) {
            let difference = e.value - other.estimate.value;
            let _ = write!(
                html,
                "<td class=\"soft\">{}<td>{}",
                percent(other.estimate.value),
                signed(difference * 100.0, 1)
            );
        }
        html.push('\n');
    }
    html + "</table></div>\n"
}
