//! Channel shuffle: a photo's red, green and blue change places, and the colors in its captions are
//! renamed to match.
//!
//! Few labeled photos show blue laces, and most of these sit on blue shoes: a model learns the
//! shoe's color in place of the laces'. The same photo with its channels exchanged shows green
//! laces on a green shoe, and white laces stay white whatever becomes of the shoe. (Channel shuffle
//! as an augmentation: Albumentations, arXiv 1809.06839; there, without words to follow.) A color
//! is renamed only if it surely has another name: navy with red in place of blue may be one color or
//! another, and is not used.

use crate::vision::Photo;

use super::product::{Facts, Product};

/// Where the red, the green and the blue of an exchanged photo come from: all ways but leaving them
/// as they are.
pub const ORDERS: [[usize; 3]; 5] = [[0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]];

/// What each color is called after each of [`ORDERS`]; empty where it may be one color or another.
const NAMES: [(&str, [&str; 5]); 8] = [
    ("red", ["red", "green", "blue", "blue", "green"]),
    ("green", ["blue", "", "green", "", ""]),
    ("blue", ["green", "", "", "green", ""]),
    ("yellow", ["", "yellow", "blue", "purple", ""]),
    ("orange", ["pink", "green", "blue", "purple", "green"]),
    ("pink", ["orange", "green", "purple", "blue", "green"]),
    ("purple", ["green", "blue", "", "green", ""]),
    ("brown", ["", "green", "blue", "purple", "green"]),
];

/// Shades of gray, which no exchange changes, and what is of several colors and stays so.
const SAME: [&str; 9] = [
    "white",
    "black",
    "grey",
    "gray",
    "silver",
    "charcoal",
    "steel",
    "multi",
    "multicolor",
];

/// Colors that no other name fits once they are exchanged.
const UNKNOWN: [&str; 41] = [
    "amber",
    "aqua",
    "beige",
    "blush",
    "bronze",
    "burgundy",
    "camel",
    "chocolate",
    "coffee",
    "copper",
    "coral",
    "cream",
    "cyan",
    "fuchsia",
    "gold",
    "golden",
    "indigo",
    "ivory",
    "khaki",
    "lavender",
    "lime",
    "magenta",
    "maroon",
    "mauve",
    "metallic",
    "mint",
    "mushroom",
    "mustard",
    "navy",
    "nude",
    "olive",
    "peach",
    "rose",
    "rust",
    "sea",
    "skin",
    "tan",
    "taupe",
    "teal",
    "turquoise",
    "violet",
];

/// A color after the exchange, in lower case; `None` if it has no sure name then, or is not in the
/// table.
fn color(name: &str, order: usize) -> Option<&str> {
    if SAME.contains(&name) {
        return Some(name);
    }
    let (_, after) = NAMES.iter().find(|(known, _)| *known == name)?;
    Some(after[order]).filter(|name| !name.is_empty())
}

/// A caption's word after the exchange. A word that is not a color stays.
fn word(word: &str, order: usize) -> Option<&str> {
    let is_color = UNKNOWN.contains(&word) || NAMES.iter().any(|(name, _)| *name == word);
    if is_color {
        color(word, order)
    } else {
        Some(word)
    }
}

/// Lower-case words after the exchange.
fn words(text: &str, order: usize) -> Option<String> {
    let parts: Option<Vec<String>> = text
        .split(' ')
        .map(|part| {
            let bare = part.trim_end_matches(',');
            word(bare, order).map(|name| format!("{name}{}", &part[bare.len()..]))
        })
        .collect();
    parts.map(|parts| parts.join(" "))
}

/// The product after the exchange of this number in [`ORDERS`]; `None` if its label is then without
/// a sure name, or all of its captions are. The label `absent` is not a color and stays. Captions with
/// the title are left out: a title is full of names that look like colors.
#[must_use]
pub fn exchanged(product: &Product, order: usize, absent: Option<&str>) -> Option<Product> {
    let label = product.label.as_deref()?;
    let label = if absent == Some(label) {
        label
    } else {
        color(label, order)?
    };
    let own = product
        .captions
        .iter()
        .filter(|caption| !product.is_named_in(caption));
    let captions: Vec<String> = own.filter_map(|caption| words(caption, order)).collect();
    if captions.is_empty() {
        return None;
    }
    let facts = Facts {
        title: String::new(),
        // Catalogs write their colors as "Blue".
        color: color(&product.facts.color.to_lowercase(), order)
            .map(capitalized)
            .unwrap_or_default(),
        shoelaces: product
            .facts
            .shoelaces
            .as_deref()
            .and_then(|laces| words(laces, order)),
        ..product.facts.clone()
    };
    let mut square: Photo = product.square.clone();
    let from = ORDERS[order];
    for pixel in square.pixels_mut() {
        pixel.0 = from.map(|channel| pixel.0[channel]);
    }
    Some(Product {
        id: product.id.clone(),
        facts,
        captions,
        label: Some(label.to_owned()),
        square,
    })
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shoe(color: &str, laces: &str) -> Product {
        let facts = Facts {
            title: "Red Tape  Men Shoe".into(),
            category: "Casual Shoes".into(),
            color: color.into(),
            shoelaces: Some(laces.into()),
            ..Facts::default()
        };
        let captions = [
            "red tape men shoe",
            "{c} casual shoes, with {l} shoelaces",
            "casual shoes",
        ];
        let captions = captions
            .map(|c| {
                c.replace("{c}", &color.to_lowercase())
                    .replace("{l}", laces)
            })
            .into();
        let square = Photo::from_pixel(2, 2, ::image::Rgb([200, 20, 40]));
        Product {
            id: "7".into(),
            facts,
            captions,
            label: Some(laces.into()),
            square,
        }
    }

    #[test]
    fn the_words_follow_the_photo() {
        let red = exchanged(&shoe("Red", "white"), 3, None).expect("red has a name");
        assert_eq!(red.square.get_pixel(1, 1).0, [20, 40, 200]);
        assert_eq!(
            (red.facts.color.as_str(), red.label.as_deref()),
            ("Blue", Some("white"))
        );
        assert_eq!(
            red.captions,
            ["blue casual shoes, with white shoelaces", "casual shoes"]
        );
        assert_eq!(
            (red.facts.title.as_str(), red.facts.shoelaces.as_deref()),
            ("", Some("white"))
        );
        let laces = exchanged(&shoe("Black", "orange"), 4, None).expect("orange has a name");
        assert_eq!(
            (laces.facts.color.as_str(), laces.label.as_deref()),
            ("Black", Some("green"))
        );
    }

    #[test]
    fn a_color_without_a_name_is_not_said() {
        // The color of a shoe may be left out of its captions; that of labeled laces may not.
        let navy =
            exchanged(&shoe("Navy Blue", "none"), 0, Some("none")).expect("its laces are known");
        assert_eq!(
            (navy.facts.color.as_str(), navy.label.as_deref()),
            ("", Some("none"))
        );
        assert_eq!(navy.captions, ["casual shoes"]);
        for (laces, order) in [("beige", 0), ("blue", 1), ("ecru", 0), ("none", 0)] {
            assert!(
                exchanged(&shoe("Black", laces), order, None).is_none(),
                "{laces}"
            );
        }
        let wordless = Product {
            captions: vec!["red tape men shoe".into()],
            ..shoe("Black", "white")
        };
        assert!(exchanged(&wordless, 0, None).is_none());
    }

    /// Each name of the table against a pure color of that name: the one that is nearest in hue
    /// after the exchange.
    #[test]
    fn names_are_those_of_the_nearest_hue() {
        let hue = |[r, g, b]: [f32; 3]| {
            (3.0_f32.sqrt() * (g - b))
                .atan2(2.0 * r - g - b)
                .to_degrees()
                .rem_euclid(360.0)
        };
        let pure = [
            ("red", [0.8, 0.1, 0.1]),
            ("orange", [0.95, 0.5, 0.1]),
            ("yellow", [0.95, 0.9, 0.1]),
            ("green", [0.1, 0.7, 0.2]),
            // Lime, which the catalogs that we know call green.
            ("green", [0.5, 0.8, 0.1]),
            ("blue", [0.1, 0.3, 0.8]),
            ("purple", [0.5, 0.1, 0.8]),
            ("pink", [0.9, 0.3, 0.6]),
        ];
        for (name, after) in NAMES {
            // Brown is a dark orange.
            let of = if name == "brown" { "orange" } else { name };
            let rgb = pure
                .iter()
                .find(|(known, _)| *known == of)
                .expect("each is in the list")
                .1;
            for (from, wanted) in ORDERS
                .iter()
                .zip(after)
                .filter(|(_, wanted)| !wanted.is_empty())
            {
                let found = hue(from.map(|channel| rgb[channel]));
                let far = |rgb: [f32; 3]| (hue(rgb) - found + 180.0).rem_euclid(360.0) - 180.0;
                let nearest = pure
                    .iter()
                    .min_by(|a, b| far(a.1).abs().total_cmp(&far(b.1).abs()))
                    .expect("not empty");
                assert_eq!(nearest.0, wanted, "{name} as {from:?}, hue {found}");
            }
        }
    }
}
