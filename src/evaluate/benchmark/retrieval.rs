//! The retrieval suite: asks an [`Engine`] every case and adds up the points.
//!
//! A case that cannot be asked or answered gets no points and says why; it still counts in the
//! maxima, so that a broken service never looks better than a weak one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{AttributeName, AttributeValue, ProductId};
use crate::evaluate::data::suite::{Case, Maxima, Query, QueryKind, Suite};
use crate::evaluate::stats::bootstrap::{self, Estimate};
use crate::evaluate::stats::figure::{Figure, SEED, Series};
use crate::evaluate::stats::scoring::{Fit, Level, Points, points_at};
use crate::evaluate::subject::{Ask, Engine, EngineError, Found, Need};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalResult {
    pub suite: String,
    pub main: AttributeName,
    pub detail: AttributeName,
    /// How many results of a case are scored.
    pub results: usize,
    /// What makes the levels doubtful, for example a service with other products than the suite was
    /// built on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub cases: Vec<CaseResult>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    pub name: String,
    pub kind: QueryKind,
    pub level: Level,
    /// The words, or the product whose photo was sent.
    pub query: String,
    pub expect: BTreeMap<AttributeName, AttributeValue>,
    pub results: Vec<Scored>,
    pub points: Points,
    #[serde(flatten)]
    pub maxima: Maxima,
    /// From the question to its answer.
    #[serde(default)]
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One result of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub id: ProductId,
    pub title: String,
    /// Cosine similarity.
    pub score: f32,
    /// The product's values of the two attributes.
    pub values: BTreeMap<AttributeName, Vec<AttributeValue>>,
    #[serde(flatten)]
    pub fit: Fit,
    pub points: Points,
}

/// The sums over some of the cases.
#[derive(Clone, Debug)]
pub struct Group {
    pub kind: Option<QueryKind>,
    pub level: Option<Level>,
    pub cases: usize,
    pub points: Points,
    pub maxima: Maxima,
    /// Share of the nominal and of the attainable maximum, scoring by scoring; `None` where nothing
    /// is attainable.
    pub of_nominal: [Option<Estimate>; 4],
    pub of_attainable: [Option<Estimate>; 4],
}

/// Asks every case. `folder` is where the suite file is; `done` is called with the number of
/// cases that are answered.
pub fn run(
    engine: &mut dyn Engine,
    suite: &Suite,
    folder: &Path,
    mut done: impl FnMut(usize),
) -> RetrievalResult {
    let filters: Vec<_> = suite.pool.pairs().collect();
    let mut cases = Vec::with_capacity(suite.cases.len());
    for case in &suite.cases {
        let started = Instant::now();
        let (found, error) = match ask(engine, suite, case, &filters, folder) {
            Ok(found) => (found, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let seconds = started.elapsed().as_secs_f64();
        cases.push(CaseResult {
            seconds,
            error,
            ..judge(suite, case, found)
        });
        done(cases.len());
    }
    RetrievalResult {
        suite: suite.name.clone(),
        main: suite.main.clone(),
        detail: suite.detail.clone(),
        results: suite.results,
        warnings: Vec::new(),
        cases,
    }
}

fn ask(
    engine: &mut dyn Engine,
    suite: &Suite,
    case: &Case,
    filters: &[(AttributeName, AttributeValue)],
    folder: &Path,
) -> Result<Vec<Found>, String> {
    let (own, among) = (case.own(), suite.pool.among());
    let need = Need {
        results: suite.results,
        exclude: &own,
        filters,
        among: &among,
    };
    let answer = match &case.query {
        Query::Text { text } => engine.search(&Ask::Text(text), &need),
        Query::Image { image, .. } => {
            let path = folder.join(image);
            let file = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            engine.search(&Ask::Photo(&Bytes::from(file)), &need)
        }
    };
    answer.map_err(|error: EngineError| error.to_string())
}

fn judge(suite: &Suite, case: &Case, found: Vec<Found>) -> CaseResult {
    let own = case.own();
    // The engines leave them out already; a service may not have.
    let found = found
        .into_iter()
        .filter(|f| !own.contains(&f.id))
        .take(suite.results);
    let results: Vec<Scored> = found
        .enumerate()
        .map(|(place, found)| {
            let fit = suite.fit(case, &found.attributes);
            let values = found
                .attributes
                .into_iter()
                .filter(|(n, _)| *n == suite.main || *n == suite.detail)
                .collect();
            let points = points_at(place, fit, suite.results);
            Scored {
                id: found.id,
                title: found.title,
                score: found.score,
                values,
                fit,
                points,
            }
        })
        .collect();
    CaseResult {
        name: case.name.clone(),
        kind: case.kind(),
        level: case.level,
        query: match &case.query {
            Query::Text { text } => text.clone(),
            Query::Image { product, .. } => product.to_string(),
        },
        expect: case.expect.clone(),
        points: results.iter().map(|r| r.points).sum(),
        results,
        maxima: case.maxima,
        seconds: 0.0,
        error: None,
    }
}

impl RetrievalResult {
    /// The sums over the cases of a kind and a level; `None` when there is none.
    #[must_use]
    pub fn group(&self, kind: Option<QueryKind>, level: Option<Level>) -> Option<Group> {
        let cases: Vec<&CaseResult> = self
            .cases
            .iter()
            .filter(|c| kind.is_none_or(|k| k == c.kind) && level.is_none_or(|l| l == c.level))
            .collect();
        if cases.is_empty() {
            return None;
        }
        let column = |i: usize, of: fn(&CaseResult) -> Points| -> Vec<f64> {
            cases.iter().map(|c| f64::from(of(c).values()[i])).collect()
        };
        let shares = |of: fn(&CaseResult) -> Points| {
            std::array::from_fn(|i| {
                bootstrap::share_estimate(&column(i, |c| c.points), &column(i, of), SEED)
            })
        };
        Some(Group {
            kind,
            level,
            cases: cases.len(),
            points: cases.iter().map(|c| c.points).sum(),
            maxima: Maxima {
                nominal: cases.iter().map(|c| c.maxima.nominal).sum(),
                attainable: cases.iter().map(|c| c.maxima.attainable).sum(),
            },
            of_nominal: shares(|c| c.maxima.nominal),
            of_attainable: shares(|c| c.maxima.attainable),
        })
    }

    /// Every group that has cases: all, by kind, by level, by both.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let kinds = [None, Some(QueryKind::Text), Some(QueryKind::Image)];
        let levels = [None, Some(Level::One), Some(Level::Two), Some(Level::Three)];
        kinds
            .iter()
            .flat_map(|k| levels.iter().filter_map(|l| self.group(*k, *l)))
            .collect()
    }

    /// `c`, `text.c`, `level1.c`, `text.level1.c` .. share of the nominal maximum; `c_attainable`
    /// .. of the attainable.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for group in self.groups() {
            let scope = group.scope();
            for (i, letter) in Points::NAMES.iter().enumerate() {
                for (share, suffix) in [
                    (group.of_nominal[i], ""),
                    (group.of_attainable[i], "_attainable"),
                ] {
                    figures.extend(share.map(|estimate| Figure {
                        name: format!("{scope}{letter}{suffix}"),
                        estimate,
                    }));
                }
            }
        }
        figures
    }

    /// The cases' points in each scoring: of all cases, and where both kinds are asked of each by
    /// itself.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let of = |kind: Option<QueryKind>| {
            self.cases
                .iter()
                .filter(move |c| kind.is_none_or(|k| k == c.kind))
        };
        let kinds = [
            (None, ""),
            (Some(QueryKind::Text), "text."),
            (Some(QueryKind::Image), "image."),
        ];
        let asked = kinds
            .into_iter()
            .filter(|(k, _)| k.is_none() || (1..self.cases.len()).contains(&of(*k).count()));
        let column = |kind, i: usize| {
            of(kind)
                .map(|c| (c.name.clone(), f64::from(c.points.values()[i])))
                .collect()
        };
        let letters = || Points::NAMES.iter().enumerate();
        asked
            .flat_map(|(kind, scope)| {
                letters().map(move |(i, letter)| Series {
                    name: format!("{scope}{letter}"),
                    cases: column(kind, i),
                })
            })
            .collect()
    }

    /// The products that came back, with repeats.
    pub fn products(&self) -> impl Iterator<Item = &ProductId> {
        self.cases
            .iter()
            .flat_map(|case| case.results.iter().map(|result| &result.id))
    }

    /// Cases that could not be asked or answered.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.cases.iter().filter(|c| c.error.is_some()).count()
    }
}

impl Group {
    /// `text.level1.`; nothing for all cases.
    #[must_use]
    pub fn scope(&self) -> String {
        let kind = self
            .kind
            .map(|k| format!("{}.", k.name()))
            .unwrap_or_default();
        let level = self
            .level
            .map(|l| format!("level{}.", l.number()))
            .unwrap_or_default();
        kind + &level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attributes;
    use crate::evaluate::subject::{How, Subject};

    /// Answers every question with the same products, and remembers what it had to leave out.
    struct Parrot {
        subject: Subject,
        says: Vec<Found>,
        excluded: Vec<Vec<ProductId>>,
    }

    impl Engine for Parrot {
        fn subject(&self) -> &Subject {
            &self.subject
        }
        fn search(&mut self, _: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError> {
            self.excluded.push(need.exclude.to_vec());
            Ok(self.says.clone())
        }
        fn picture(&mut self, _: &ProductId) -> Option<Bytes> {
            None
        }
    }

    fn found(id: &str, category: &str, laces: &str) -> Found {
        let value = |name: &str, value: &str| {
            (
                AttributeName::new(name).expect("name"),
                vec![AttributeValue::new(value).expect("value")],
            )
        };
        let attributes =
            Attributes::from([value("category", category), value("shoelace_color", laces)]);
        Found {
            id: ProductId::new(id).expect("id"),
            title: id.to_owned(),
            attributes,
            score: 0.5,
        }
    }

    fn parrot(says: Vec<Found>) -> Parrot {
        let text = String::new;
        let subject = Subject {
            model: text(),
            model_id: text(),
            at: text(),
            how: How::Folder,
            words_percent: None,
        };
        Parrot {
            subject,
            says,
            excluded: Vec::new(),
        }
    }

    fn suite() -> Suite {
        serde_json::from_str(include_str!("../../../tests/reference/small_suite.json"))
            .expect("a suite")
    }

    #[test]
    fn points_follow_from_the_attributes_of_the_hits() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("images")).expect("a folder");
        std::fs::write(folder.path().join("images/9.jpg"), b"photo").expect("a file");
        let mut engine = parrot(vec![
            found("9", "Formal Shoes", "black"),
            found("1", "Casual Shoes", "Beige"),
            found("2", "Sports Shoes", "beige"),
            found("3", "Formal Shoes", "black"),
        ]);
        let result = run(&mut engine, &suite(), folder.path(), |_| {});
        assert_eq!(
            engine.excluded,
            [vec![], vec![ProductId::new("9").expect("id")]]
        );
        // In words: formal black, casual beige (right), sports beige, formal black.
        assert_eq!(
            result.cases[0].points,
            Points {
                a: 4,
                b: 2,
                c: 4,
                d: 4 + 3
            }
        );
        // By photo: the query's own product is left out even though the engine returned it.
        assert_eq!(result.cases[1].results.len(), 3);
        assert_eq!(
            result.cases[1].points,
            Points {
                a: 3,
                b: 1,
                c: 3,
                d: 3
            }
        );
        let all = result.group(None, None).expect("cases");
        assert_eq!((all.cases, all.points.c, all.maxima.nominal.c), (2, 7, 30));
        assert!((all.of_nominal[2].expect("points").value - 7.0 / 30.0).abs() < 1e-12);
        assert!(
            result
                .group(Some(QueryKind::Text), Some(Level::One))
                .is_none()
        );
        let names: Vec<String> = result.figures().into_iter().map(|f| f.name).collect();
        assert!(
            names.contains(&"text.level2.c".to_owned())
                && names.contains(&"d_attainable".to_owned())
        );
        // Nothing is attainable in (c) by the only image case.
        assert!(!names.contains(&"image.c_attainable".to_owned()));
    }

    #[test]
    fn a_case_that_fails_scores_nothing_and_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let result = run(
            &mut parrot(vec![found("1", "Casual Shoes", "beige")]),
            &suite(),
            folder.path(),
            |_| {},
        );
        assert_eq!(result.errors(), 1);
        assert!(
            result.cases[1]
                .error
                .as_ref()
                .expect("no photo")
                .contains("9.jpg")
        );
        assert_eq!(result.cases[1].points, Points::default());
        assert_eq!(
            result.group(None, None).expect("cases").maxima.nominal.c,
            30
        );
    }
}
