//! The small parts that pages are made of.

use std::fmt::Write as _;

use crate::evaluate::report::markup::escaped;
use crate::evaluate::report::table::Table;
use crate::evaluate::stats::metrics::as_f64;

/// A bar of a share, with an interval drawn over it.
pub fn meter(share: f64, interval: Option<(f64, f64)>, class: &str) -> String {
    let cut = |v: f64| (v * 100.0).clamp(0.0, 100.0);
    let over = interval.map(|(low, high)| {
        format!(
            "<u style=\"left:{:.1}%;width:{:.1}%\"></u>",
            cut(low),
            (cut(high) - cut(low)).max(0.4)
        )
    });
    format!(
        "<span class=\"meter {class}\"><i style=\"width:{:.1}%\"></i>{}</span>",
        cut(share),
        over.unwrap_or_default()
    )
}

/// `+1.2`, green or red.
pub fn signed(difference: f64, digits: usize) -> String {
    let smallest = 0.5 / 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    let class = match difference {
        d if d >= smallest => "up",
        d if d <= -smallest => "down",
        _ => "soft",
    };
    format!("<span class=\"{class}\">{difference:+.digits$}</span>")
}

pub fn table(table: &Table) -> String {
    let cells = |tag: &str, row: &[String]| {
        row.iter()
            .map(|c| ["<", tag, ">", &escaped(c)].concat())
            .collect::<String>()
    };
    let mut html = format!(
        "<div class=\"scroll\"><table><thead><tr>{}<tbody>\n",
        cells("th", &table.heading)
    );
    for row in &table.rows {
        let _ = writeln!(html, "<tr>{}", cells("td", row));
    }
    html + "</table></div>\n"
}

/// Share of `part` in `whole` as a percentage, for a style.
pub fn hundredths(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * as_f64(part) / as_f64(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_a_color() {
        assert!(signed(1.26, 1).contains("up") && signed(1.26, 1).contains("+1.3"));
        assert!(signed(-0.2, 1).contains("down"));
        assert!(signed(0.04, 1).contains("soft"));
    }
}
