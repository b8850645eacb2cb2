//! What several formats say in the same ways: paths of categories, availability, lists, names of
//! attributes.

use std::collections::HashSet;

use super::row::{Lost, Row};
use crate::domain::text::clean;

/// Puts the categories of paths such as `Shoes > Boots` on a product: the last level of each is a
/// category, the first of several is a department. A path that another one goes on from is left out.
pub(super) fn categories(row: &mut Row, paths: &[Vec<String>]) {
    let begins = |path: &[String], longer: &[String]| {
        longer.len() > path.len() && longer.iter().zip(path).all(|(a, b)| a == b)
    };
    // What a path is the beginning of stands behind it in order.
    let mut sorted: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let pairs = sorted.windows(2).filter(|pair| begins(pair[0], pair[1]));
    let beginnings: HashSet<&[String]> = pairs.map(|pair| pair[0]).collect();
    for path in paths {
        if beginnings.contains(path.as_slice()) {
            continue;
        }
        row.attribute("category", path.last().map(String::as_str));
        if path.len() > 1 {
            row.attribute("department", path.first().map(String::as_str));
        }
    }
}

/// The levels of a path, parted by `>`.
pub(super) fn levels(path: &str) -> Vec<String> {
    let path = path.replace("&gt;", ">");
    let levels = path.split('>').map(clean);
    levels.filter(|level| !level.is_empty()).collect()
}

/// Whether a word for availability means that the product can be sent now; `None`: not a known word.
pub(super) fn in_stock(word: &str) -> Option<bool> {
    let word = word.rsplit(['/', ':']).next().unwrap_or_default();
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    let word: String = letters.flat_map(char::to_lowercase).collect();
    Some(match word.as_str() {
        "instock"
        | "available"
        | "availablefororder"
        | "limitedavailability"
        | "onlineonly"
        | "instoreonly"
        | "lowstock"
        | "yes"
        | "true"
        | "1" => true,
        "outofstock" | "soldout" | "discontinued" | "preorder" | "presale" | "backorder"
        | "onbackorder" | "madetoorder" | "reserved" | "unavailable" | "no" | "false" | "0" => {
            false
        }
        _ => return None,
    })
}

/// Says whether a product is in stock, by a word for it.
pub(super) fn availability(row: &mut Row, word: &str) {
    if let Some(is) = in_stock(word) {
        row.attribute("in_stock", Some(if is { "true" } else { "false" }));
    } else {
        let word: String = word.chars().take(80).collect();
        row.lose(
            Lost::Attribute,
            format!("the availability {word:?} is not known"),
        );
    }
}

/// Addresses or paths in one field, parted by commas: a comma inside of an address stays.
pub(super) fn addresses(text: &str) -> Vec<&str> {
    let is_start = |rest: &str| {
        let rest = rest.trim_start();
        ["http://", "https://", "//"]
            .iter()
            .any(|start| rest.starts_with(start))
    };
    let mut all = Vec::new();
    let mut rest = text;
    'next: loop {
        let web = is_start(rest);
        for (at, _) in rest.match_indices(',') {
            let after = &rest[at + 1..];
            if !web || is_start(after) {
                all.push(rest[..at].trim());
                rest = after;
                continue 'next;
            }
        }
        all.push(rest.trim().trim_end_matches(','));
        all.retain(|address| !address.is_empty());
        return all;
    }
}

/// Names that attributes have in other languages and spellings.
const NAMES: [(&str, &str); 30] = [
    ("colour", "color"),
    ("colours", "color"),
    ("colors", "color"),
    ("farbe", "color"),
    ("farben", "color"),
    ("couleur", "color"),
    ("colore", "color"),
    ("kleur", "color"),
    ("sizes", "size"),
    ("groesse", "size"),
    ("groessen", "size"),
    ("taille", "size"),
    ("pointure", "size"),
    ("talla", "size"),
    ("taglia", "size"),
    ("maat", "size"),
    ("marke", "brand"),
    ("marque", "brand"),
    ("marca", "brand"),
    ("merk", "brand"),
    ("brands", "brand"),
    ("vendor", "brand"),
    ("manufacturer", "brand"),
    ("hersteller", "brand"),
    ("geschlecht", "gender"),
    ("genre", "gender"),
    ("muster", "pattern"),
    ("materials", "material"),
    ("matiere", "material"),
    ("materiale", "material"),
];

/// What an attribute is called here that is called so in a shop: `Größe` is `size`, `Absatzhöhe` is
/// `absatzhoehe`. `None` when no letter is left.
pub(super) fn attribute(name: &str) -> Option<String> {
    let mut plain = String::new();
    for letter in clean(name).to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => plain.push(letter),
            'ä' | 'æ' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            _ => {
                let mut base = unicode_normalization::char::is_combining_mark(letter);
                unicode_normalization::char::decompose_canonical(letter, |part| {
                    if part.is_ascii_alphanumeric() {
                        plain.push(part);
                        base = true;
                    }
                });
                if !base && !plain.ends_with('_') {
                    plain.push('_');
                }
            }
        }
    }
    let plain = plain.trim_matches('_');
    let plain = plain.strip_prefix("pa_").unwrap_or(plain);
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    if plain.is_empty() {
        return None;
    }
    let known = NAMES.iter().find(|(other, _)| *other == plain);
    let name = known.map_or(plain, |(_, name)| name);
    Some(name.chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_categories() {
        let mut row = Row::default();
        let paths = ["Shoes > Boots", "Shoes", "Sale"].map(levels);
        categories(&mut row, &paths);
        let json = serde_json::Value::Object(row.json);
        let expected = serde_json::json!({"category": ["Boots", "Sale"], "department": ["Shoes"]});
        assert_eq!(json["attributes"], expected);
        assert_eq!(levels(" A &gt; B>> C "), ["A", "B", "C"]);
        assert!(levels(" > ").is_empty());
    }

    #[test]
    fn words_of_availability() {
        for (word, is) in [
            ("in stock", Some(true)),
            ("in_stock", Some(true)),
            ("https://schema.org/InStock", Some(true)),
            ("Out of Stock", Some(false)),
            ("schema:SoldOut", Some(false)),
            ("backorder", Some(false)),
            ("maybe", None),
            ("", None),
        ] {
            assert_eq!(in_stock(word), is, "{word}");
        }
    }

    #[test]
    fn lists_of_addresses_keep_their_commas() {
        for (text, all) in [
            (
                "https://x/a.jpg,https://x/b,c.jpg, https://x/d.jpg",
                vec!["https://x/a.jpg", "https://x/b,c.jpg", "https://x/d.jpg"],
            ),
            ("a.jpg, b.jpg", vec!["a.jpg", "b.jpg"]),
            ("https://x/w_1,h_2/a.jpg", vec!["https://x/w_1,h_2/a.jpg"]),
            (" , ", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(addresses(text), all, "{text}");
        }
    }

    #[test]
    fn names_of_attributes() {
        for (name, is) in [
            ("Größe", Some("size")),
            ("pa_Colour", Some("color")),
            ("Absatzhöhe (cm)", Some("absatzhoehe_cm")),
            ("Été", Some("ete")),
            ("2nd Color", Some("nd_color")),
            ("素材", None),
            ("", None),
        ] {
            assert_eq!(attribute(name).as_deref(), is, "{name}");
        }
    }
}
