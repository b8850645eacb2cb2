//! The part of a suite: the sums, and case by case what came back.

use std::fmt::Write as _;

use super::elements::{meter, signed, table};
use super::thumbnails::Thumbnails;
use crate::domain::{AttributeName, AttributeValue};
use crate::evaluate::benchmark::retrieval::{CaseResult, RetrievalResult, Scored};
use crate::evaluate::data::suite::QueryKind;
use crate::evaluate::report::markup::escaped;
use crate::evaluate::report::tables;
use crate::evaluate::stats::figure::percent;
use crate::evaluate::stats::scoring::Points;

/// `base`: another model's name and its result on the same suite.
pub fn section(
    result: &RetrievalResult,
    base: Option<(&str, &RetrievalResult)>,
    thumbnails: &Thumbnails,
) -> String {
    let mut html = String::new();
    for warning in &result.warnings {
        let _ = writeln!(html, "<p class=\"error\">{}</p>", escaped(warning));
    }
    let words = |name: &AttributeName| escaped(&name.as_str().replace('_', " "));
    let (main, detail) = (words(&result.main), words(&result.detail));
    let _ = writeln!(
        html,
        "<p class=\"note\">A case asks for a {main} and a {detail}; its first {k} results get points: (a) 2 for the right \
         {main} and 1 for the right {detail}; (b) 1 for the right {detail}; (c) {k} down to 1 by place where both are \
         right; (d) {k} down to 1 by place where the {detail} is. Level 1: {k} or more products match; level 2: fewer; \
         level 3: none. <b>of max</b> is the share of the largest sum of points. Not all of it can be had where fewer \
         than {k} products match: the second table has the share of what a perfect search would get from this \
         catalog{}; the thin line on a bar is its 95% interval.</p>",
        if base.is_some() {
            ", and behind it the difference to the baseline in percentage points"
        } else {
            ""
        },
        k = result.results
    );
    html.push_str(&table(&tables::groups(result, false)));
    html.push_str(&levels(result, base));
    html.push_str(if base.is_some() {
        "<h3>Cases, largest differences first</h3>\n"
    } else {
        "<h3>Cases</h3>\n"
    });
    let _ = writeln!(
        html,
        "<p class=\"note\">Every case with its first {k} results: a <span class=\"up\">green</span> frame is right in \
         {main} and {detail}, an <span class=\"part\">amber</span> one in one of them, a <span class=\"down\">red</span> \
         one in neither. Under a picture are the product's {main} and {detail} and its points in the four scorings; \
         at the right of a case its points of those attainable{}.</p>",
        if base.is_some() {
            ", with the difference to the baseline"
        } else {
            ""
        },
        k = result.results
    );
    let mut cases: Vec<(&CaseResult, Option<&CaseResult>)> = result
        .cases
        .iter()
        .map(|case| {
            (
                case,
                base.and_then(|(_, b)| b.cases.iter().find(|other| other.name == case.name)),
            )
        })
        .collect();
    if base.is_some() {
        cases.sort_by_key(|(case, other)| {
            std::cmp::Reverse(other.map_or(0, |o| change(case, o).abs()))
        });
    }
    for (case, other) in cases {
        let other = other.and_then(|o| base.map(|(name, _)| (name, o)));
        html.push_str(&self::case(result, case, other, thumbnails));
    }
    html
}

/// Shares of the attainable maximum by kind and level, as bars.
fn levels(result: &RetrievalResult, base: Option<(&str, &RetrievalResult)>) -> String {
    let mut html =
        "<h3>Share of the attainable points</h3>\n<div class=\"scroll\"><table><thead><tr><th>cases".to_owned();
    for letter in Points::NAMES {
        let _ = write!(html, "<th>({letter})<th>");
    }
    html.push_str("<tbody>\n");
    for group in result.groups() {
        let other = base.and_then(|(_, b)| b.group(group.kind, group.level));
        let class = if group.kind.is_none() && group.level.is_none() {
            " class=\"sum\""
        } else {
            ""
        };
        let _ = write!(
            html,
            "<tr{class}><td>{} <span class=\"soft\">({})</span>",
            tables::label(&group),
            group.cases
        );
        for i in 0..4 {
            let Some(e) = group.of_attainable[i] else {
                html.push_str("<td class=\"soft\">none<td>");
                continue;
            };
            let bar = meter(e.value, Some((e.interval.low, e.interval.high)), "small");
            let difference = other
                .as_ref()
                .and_then(|o| o.of_attainable[i])
                .map(|o| signed((e.value - o.value) * 100.0, 1));
            let _ = write!(
                html,
                "<td>{} {}<td>{bar}",
                percent(e.value),
                difference.unwrap_or_default()
            );
        }
        html.push('\n');
    }
    html + "</table></div>\n"
}

/// Points won or lost over all scorings.
fn change(case: &CaseResult, base: &CaseResult) -> i64 {
    let sum = |p: Points| p.values().iter().map(|v| i64::from(*v)).sum::<i64>();
    sum(case.points) - sum(base.points)
}

fn case(
    result: &RetrievalResult,
    case: &CaseResult,
    base: Option<(&str, &CaseResult)>,
    thumbnails: &Thumbnails,
) -> String {
    let expect = [&result.main, &result.detail].map(|n| {
        case.expect
            .get(n)
            .map(ToString::to_string)
            .unwrap_or_default()
    });
    let heading = match case.kind {
        QueryKind::Text => format!("&ldquo;{}&rdquo;", escaped(&case.query)),
        QueryKind::Image => format!("Photo: {}, {}", escaped(&expect[0]), escaped(&expect[1])),
    };
    let mut html = format!(
        "<section class=\"case\"><header><b>{heading}</b><span class=\"tag\">{}, level {}</span>\
         <span class=\"soft\">wanted: {}, {}</span><span class=\"points\">{}</span></header>\n",
        case.kind.name(),
        case.level.number(),
        escaped(&expect[0]),
        escaped(&expect[1]),
        points(case, base.map(|(_, b)| b))
    );
    if let Some((name, other)) = base {
        html.push_str(&strip(
            result,
            other,
            Some(&format!("baseline: {name}")),
            thumbnails,
        ));
    }
    html.push_str(&strip(result, case, base.map(|_| "this model"), thumbnails));
    html + "</section>\n"
}

fn points(case: &CaseResult, base: Option<&CaseResult>) -> String {
    let (own, most) = (case.points.values(), case.maxima.attainable.values());
    let parts = (0..4).map(|i| {
        let difference = base.map(|b| f64::from(own[i]) - f64::from(b.points.values()[i]));
        let difference = difference
            .filter(|d| *d != 0.0)
            .map(|d| format!(" {}", signed(d, 0)))
            .unwrap_or_default();
        format!("({}) {}/{}{difference}", Points::NAMES[i], own[i], most[i])
    });
    parts.collect::<Vec<_>>().join(" &nbsp; ")
}

fn strip(
    result: &RetrievalResult,
    case: &CaseResult,
    who: Option<&str>,
    thumbnails: &Thumbnails,
) -> String {
    let mut html = "<div class=\"strip\">".to_owned();
    if let Some(who) = who {
        let _ = write!(html, "<div class=\"who\">{}</div>", escaped(who));
    }
    if case.kind == QueryKind::Image {
        let picture = photo(thumbnails.query(&case.name), "the photo that was sent");
        let _ = writeln!(
            html,
            "<figure class=\"query\">{picture}<figcaption>the photo sent</figcaption></figure>"
        );
    }
    if let Some(error) = &case.error {
        let _ = write!(html, "<p class=\"error\">{}</p>", escaped(error));
    }
    for (place, scored) in case.results.iter().enumerate() {
        html.push_str(&figure(result, place, scored, thumbnails));
    }
    html + "</div>\n"
}

fn figure(
    result: &RetrievalResult,
    place: usize,
    scored: &Scored,
    thumbnails: &Thumbnails,
) -> String {
    let class = match (scored.fit.main, scored.fit.detail) {
        (true, true) => "both",
        (false, false) => "none",
        _ => "half",
    };
    let mark = |right: bool| if right { "&#10003;" } else { "&#10007;" };
    let values = |name| {
        let all = scored
            .values
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let all: Vec<&str> = all.iter().map(AttributeValue::as_str).collect();
        if all.is_empty() {
            "not known".to_owned()
        } else {
            escaped(&all.join(", "))
        }
    };
    let [a, b, c, d] = scored.points.values();
    format!(
        "<figure class=\"{class}\">{}<figcaption>{}. {}<br>{} {}<br>{} {}<br><span class=\"soft\">a{a} b{b} c{c} d{d} \
         &middot; cosine {:.3}</span></figcaption></figure>\n",
        photo(thumbnails.product(&scored.id), &scored.title),
        place + 1,
        escaped(&scored.title),
        mark(scored.fit.main),
        values(&result.main),
        mark(scored.fit.detail),
        values(&result.detail),
        scored.score
    )
}

fn photo(class: Option<String>, what: &str) -> String {
    let class = class.unwrap_or_default();
    format!(
        "<div class=\"photo {class}\" role=\"img\" aria-label=\"{}\"></div>",
        escaped(what)
    )
}
