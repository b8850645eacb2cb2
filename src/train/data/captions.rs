//! A product in words: a long caption (as a catalog describes it) and a short one (as a shopper asks
//! for it), drawn each time, and of which products a caption is true.

use super::product::{Facts, Product};
use crate::domain::single_spaced;
use crate::train::draws::{Purpose, Stream};

/// Words, and which facts they state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    pub text: String,
    /// `None` if it is not known.
    stated: Option<Stated>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one flag per fact")]
struct Stated {
    /// The product's own name: true of no other product.
    title: bool,
    category: bool,
    section: bool,
    color: bool,
    gender: bool,
    usage: bool,
    shoelaces: bool,
}

impl Caption {
    /// A prepared caption. Which facts it states is not known: it is true of the products that have
    /// the same caption among theirs.
    #[must_use]
    pub fn prepared(text: String) -> Self {
        Self { text, stated: None }
    }

    /// Whether this caption, drawn for `own`, is true of `other` as well.
    #[must_use]
    pub fn holds_for(&self, own: &Facts, other: &Facts) -> bool {
        let Some(s) = self.stated else { return false };
        (!s.title || own.title == other.title)
            && (!s.category || own.category == other.category)
            && (!s.section || own.section == other.section)
            && (!s.color || own.color == other.color)
            && (!s.gender || own.gender == other.gender)
            && (!s.usage || own.usage == other.usage)
            && (!s.shoelaces || own.shoelaces == other.shoelaces)
    }
}

/// One spelling of a word where shoppers use several.
fn spelled(category: &str, draws: &mut Stream) -> String {
    let lower = category.to_lowercase();
    if lower == "tshirts" {
        return ["tshirts", "tshirts", "t-shirts", "t-shirt", "tshirt"][draws.below(5)].to_owned();
    }
    if draws.chance(0.8) {
        return lower;
    }
    singular(&lower)
}

/// "dresses" -> "dress", "shoes" -> "shoe"; words that are always plural stay.
#[must_use]
pub fn singular(lower: &str) -> String {
    const PLURAL: [&str; 17] = [
        "jeans",
        "trousers",
        "shorts",
        "capris",
        "leggings",
        "briefs",
        "boxers",
        "sunglasses",
        "tights",
        "pants",
        "stockings",
        "jeggings",
        "suspenders",
        "accessories",
        "dress",
        "baby dolls",
        "cufflinks",
    ];
    if PLURAL.iter().any(|p| lower.ends_with(p)) {
        return lower.to_owned();
    }
    for (plural, single) in [
        ("scarves", "scarf"),
        ("dresses", "dress"),
        ("watches", "watch"),
        ("clutches", "clutch"),
    ] {
        if let Some(stem) = lower.strip_suffix(plural) {
            return format!("{stem}{single}");
        }
    }
    lower.strip_suffix('s').unwrap_or(lower).to_owned()
}

fn color(facts: &Facts, draws: &mut Stream) -> String {
    let lower = facts.color.to_lowercase();
    if lower.contains("grey") && draws.chance(0.25) {
        lower.replace("grey", "gray")
    } else {
        lower
    }
}

/// The catalog's side: the title, often followed by attributes.
#[must_use]
pub fn document(facts: &Facts, draws: &mut Stream) -> Caption {
    let title = facts.title.to_lowercase();
    let (category, gender) = (facts.category.to_lowercase(), facts.gender.to_lowercase());
    let (tint, usage) = (color(facts, draws), facts.usage.to_lowercase());
    let laces = match facts.shoelaces.as_deref() {
        Some(laces) if laces != "none" && draws.chance(0.7) => format!(" with {laces} shoelaces"),
        _ => String::new(),
    };
    let text = match draws.below(10) {
        0..=2 => format!("{title}{laces}"),
        // As the service describes a product to the text tower (see `catalog::caption`).
        3..=6 => format!("{title}, {tint} {category}{laces} for {gender}"),
        7 => format!("{title}, {category}, {tint}, {gender}, {usage}{laces}"),
        8 => format!("{title}, {category}, {tint}{laces}"),
        _ => format!("{tint} {category}{laces} for {gender}, {usage}"),
    };
    Caption {
        text,
        stated: Some(Stated {
            title: true,
            ..Stated::default()
        }),
    }
}

/// The shopper's side: a few words.
#[must_use]
pub fn query(facts: &Facts, draws: &mut Stream) -> Caption {
    let category = spelled(&facts.category, draws);
    let (tint, gender, usage) = (
        color(facts, draws),
        facts.gender.to_lowercase(),
        facts.usage.to_lowercase(),
    );
    let base = Stated {
        category: true,
        ..Stated::default()
    };
    if let Some(laces) = facts.shoelaces.as_deref().filter(|l| *l != "none")
        && draws.chance(0.6)
    {
        let word = ["shoelaces", "shoelaces", "laces", "shoe laces"][draws.below(4)];
        let stated = Stated {
            shoelaces: true,
            ..base
        };
        return match draws.below(5) {
            0..=2 => Caption {
                text: format!("{category} with {laces} {word}"),
                stated: Some(stated),
            },
            3 => Caption {
                text: format!("{tint} {category} with {laces} {word}"),
                stated: Some(Stated {
                    color: true,
                    ..stated
                }),
            },
            _ => Caption {
                text: format!("{laces} {word}"),
                stated: Some(Stated {
                    category: false,
                    ..stated
                }),
            },
        };
    }
    let (text, stated) = match draws.below(20) {
        0..=6 => (
            format!("{tint} {category}"),
            Stated {
                color: true,
                ..base
            },
        ),
        7..=8 => (category, base),
        9..=11 => (
            format!("{category} for {gender}"),
            Stated {
                gender: true,
                ..base
            },
        ),
        12..=13 => (
            format!("{tint} {category} for {gender}"),
            Stated {
                color: true,
                gender: true,
                ..base
            },
        ),
        14 => (
            format!("{gender} {tint} {category}"),
            Stated {
                color: true,
                gender: true,
                ..base
            },
        ),
        15 => (
            format!("{gender} {tint} {category} {usage}"),
            Stated {
                color: true,
                gender: true,
                usage: true,
                ..base
            },
        ),
        16 => (
            format!("{usage} {category}"),
            Stated {
                usage: true,
                ..base
            },
        ),
        17 => (
            format!("{gender} {category}"),
            Stated {
                gender: true,
                ..base
            },
        ),
        18 => {
            let section = facts.section.to_lowercase();
            (
                format!("{tint} {section}"),
                Stated {
                    color: true,
                    section: true,
                    ..Stated::default()
                },
            )
        }
        _ => (
            facts.title.to_lowercase(),
            Stated {
                title: true,
                ..Stated::default()
            },
        ),
    };
    Caption {
        text: single_spaced(&text),
        stated: Some(stated),
    }
}

/// Captions to learn a vocabulary from: three long and three short ones of each product, and the
/// colors of laces as often as common words, since few products' laces are known.
#[must_use]
pub fn sample(products: &[Product], seed: u64) -> Vec<String> {
    const LACES: [&str; 13] = [
        "black", "white", "grey", "brown", "beige", "blue", "red", "green", "yellow", "orange",
        "pink", "purple", "multi",
    ];
    let mut texts = Vec::with_capacity(products.len() * 6 + LACES.len() * 500);
    for (at, product) in products.iter().enumerate() {
        let mut draws = Stream::new(seed, Purpose::Vocabulary, at as u64);
        for _ in 0..3 {
            texts.push(document(&product.facts, &mut draws).text);
            texts.push(query(&product.facts, &mut draws).text);
        }
    }
    for color in LACES {
        texts.extend(
            (0..500).map(|_| format!("{color} shoelaces, with {color} laces, stripes, dots")),
        );
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(title: &str, color: &str, gender: &str) -> Facts {
        Facts {
            title: title.into(),
            category: "Tshirts".into(),
            section: "Topwear".into(),
            color: color.into(),
            gender: gender.into(),
            usage: "Casual".into(),
            shoelaces: None,
        }
    }

    #[test]
    fn a_caption_is_true_of_the_products_that_share_what_it_states() {
        let own = facts("Nike blue tee", "Blue", "Men");
        let (other, red) = (
            facts("Puma tee", "Blue", "Men"),
            facts("Puma tee", "Red", "Men"),
        );
        let mut seen = [false; 2];
        for number in 0..200 {
            let caption = query(&own, &mut Stream::new(7, Purpose::Batch, number));
            assert!(caption.holds_for(&own, &own));
            if caption.text == "blue tshirts" {
                assert!(caption.holds_for(&own, &other) && !caption.holds_for(&own, &red));
                seen[0] = true;
            }
            if caption.text == "tshirts for men" {
                assert!(caption.holds_for(&own, &other) && caption.holds_for(&own, &red));
                seen[1] = true;
            }
        }
        assert_eq!(seen, [true; 2]);
        assert!(!document(&own, &mut Stream::new(7, Purpose::Batch, 0)).holds_for(&own, &other));
    }

    #[test]
    fn a_shopper_asks_for_one_of_it() {
        for (plural, single) in [
            ("dresses", "dress"),
            ("casual shoes", "casual shoe"),
            ("track pants", "track pants"),
        ] {
            assert_eq!(singular(plural), single);
        }
    }
}
