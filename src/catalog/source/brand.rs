//! Brands, read out of product names.
//!
//! Names in the Kaggle layout begin with the brand and go on with the audience: "United Colors of
//! Benetton Men Blue Shirt". The words before `Men`, `Women`, `Boys`, `Girls`, `Kids` or `Unisex`
//! are therefore taken for a brand when at least [`ENOUGH`] products of the file share them (letter
//! case aside) and they are not a value of another attribute (a shop whose names begin with the
//! color has no brand "Black"). Where a shorter such beginning is [`RULES`] times as frequent, the
//! longer one is a line of that brand ("ADIDAS Originals"). Every product whose name begins with a
//! brand then has it, with or without an audience word; all others have none: better no brand than
//! a wrong one.

use std::collections::HashMap;

const AUDIENCE: [&str; 6] = ["men", "women", "boys", "girls", "kids", "unisex"];
/// Longest brand in words.
const WORDS: usize = 4;
const ENOUGH: usize = 5;
const RULES: usize = 10;

/// The brands of one file.
pub struct Brands {
    /// Folded -> as most products write it.
    spelling: HashMap<String, String>,
}

fn is_audience(word: &str) -> bool {
    let word = word.to_lowercase();
    AUDIENCE.contains(&word.strip_suffix("'s").unwrap_or(&word))
}

fn folded(words: &[&str]) -> String {
    words.join(" ").to_lowercase()
}

impl Brands {
    /// `is_value`: whether words in lower case are a value of another attribute.
    #[must_use]
    pub fn of<'a>(titles: impl Iterator<Item = &'a str>, is_value: impl Fn(&str) -> bool) -> Self {
        let mut leads: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for title in titles {
            let words: Vec<&str> = title.split_whitespace().collect();
            let Some(end) = words
                .iter()
                .position(|w| is_audience(w))
                .filter(|n| (1..=WORDS).contains(n))
            else {
                continue;
            };
            *leads
                .entry(folded(&words[..end]))
                .or_default()
                .entry(words[..end].join(" "))
                .or_default() += 1;
        }
        let count: HashMap<&str, usize> = leads
            .iter()
            .map(|(lead, s)| (lead.as_str(), s.values().sum()))
            .collect();
        let is_brand = |lead: &str| {
            let own = count[lead];
            let line_of_another = lead.match_indices(' ').any(|(end, _)| {
                count
                    .get(&lead[..end])
                    .is_some_and(|shorter| *shorter >= own * RULES)
            });
            own >= ENOUGH && !line_of_another && !is_value(lead)
        };
        let most = |spellings: &HashMap<String, usize>| {
            let best = spellings
                .iter()
                .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
            best.map(|(spelling, _)| spelling.clone())
                .unwrap_or_default()
        };
        let brands = leads.iter().filter(|(lead, _)| is_brand(lead));
        Self {
            spelling: brands
                .map(|(lead, spellings)| (lead.clone(), most(spellings)))
                .collect(),
        }
    }

    /// The longest brand that the name begins with.
    #[must_use]
    pub fn brand(&self, title: &str) -> Option<&str> {
        let words: Vec<&str> = title.split_whitespace().take(WORDS).collect();
        (1..=words.len())
            .rev()
            .find_map(|n| self.spelling.get(&folded(&words[..n])))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(all: &[(usize, &'static str)]) -> Vec<&'static str> {
        all.iter()
            .flat_map(|(n, title)| std::iter::repeat_n(*title, *n))
            .collect()
    }

    #[test]
    fn takes_what_several_products_share() {
        let titles = titles(&[
            (60, "ADIDAS Men Blue Shoe"),
            (3, "adidas women Red Shoe"),
            (6, "ADIDAS Originals Men Shoe"),
            (5, "United Colors of Benetton Boys Tee"),
            (4, "Rarely Seen Men Tee"),
            (9, "Black Men Tee"),
        ]);
        let brands = Brands::of(titles.into_iter(), |words| words == "black");
        assert_eq!(brands.brand("Adidas Backpack"), Some("ADIDAS"));
        assert_eq!(brands.brand("ADIDAS Originals Men Shoe"), Some("ADIDAS"));
        assert_eq!(
            brands.brand("United Colors Of Benetton Shirt"),
            Some("United Colors of Benetton")
        );
        assert_eq!(brands.brand("United Airlines Bag"), None);
        assert_eq!(brands.brand("Rarely Seen Men Tee"), None);
        assert_eq!(brands.brand("Black Men Tee"), None);
        assert_eq!(brands.brand(""), None);
    }

    #[test]
    fn two_brands_may_begin_alike() {
        let titles = titles(&[(34, "Lee Men Jeans"), (13, "Lee Cooper Men Jeans")]);
        let brands = Brands::of(titles.into_iter(), |_| false);
        assert_eq!(brands.brand("Lee Cooper Women Shoe"), Some("Lee Cooper"));
        assert_eq!(brands.brand("Lee Women's Shoe"), Some("Lee"));
    }
}
