//! Slips of the pen: a word that the catalog does not hold, and the word of the catalog that was
//! probably meant.

use super::lexicon::{self, Lexicon};

/// Shorter words are not corrected: too many others are one letter away.
const SHORTEST: usize = 4;
/// From so many letters on, two slips are forgiven instead of one.
const TWO_SLIPS: usize = 7;
/// .. and from so many when the word that is meant is common and begins alike.
const TWO_SLIPS_OF_COMMON: usize = 6;
/// What a slip costs, in logarithms of products: one more must be made good by 150 times as many.
const SLIP: f64 = 5.0;
/// A slip in the first letter costs so much more.
const FIRST_LETTER: f64 = 3.0;
/// Slips that are often made cost so much less, together.
const LIKELY: f64 = 2.0;
/// A word of the catalog that fewer products hold is taken for a slip itself.
const FEWEST: u32 = 2;
/// A word that so many products hold is no name that comes by chance.
const COMMON: u32 = 10;

/// The form in which the catalog holds a word: this one, or a plain other number ("boot" for
/// "boots"). `None` when it holds neither.
///
/// Where the stem of the word itself finds nothing ("bras" has another stem than "bra"), the other
/// number must not be a rare one: "shos" is a slip of "shoes" and not the plural of a name "Sho".
#[must_use]
pub fn known(lexicon: &Lexicon, word: &str) -> Option<String> {
    if lexicon.products(word) > 0 {
        return Some(word.to_owned());
    }
    let found = lexicon.term(&lexicon.stems().stem(word)).is_some();
    let least = if found { 1 } else { COMMON };
    let holds = |word: &str| lexicon.products(word) >= least;
    let singular = [("ies", "y"), ("es", ""), ("s", "")]
        .into_iter()
        .filter_map(|(ending, other)| Some(format!("{}{other}", word.strip_suffix(ending)?)));
    let plural = [("y", "ies"), ("", "es"), ("", "s")]
        .into_iter()
        .filter_map(|(ending, other)| Some(format!("{}{other}", word.strip_suffix(ending)?)));
    singular
        .chain(plural)
        .find(|other| other.chars().count() > 1 && holds(other))
        .map(|other| if found { word.to_owned() } else { other })
}

/// The word of the catalog that was probably meant by one that it does not hold. `None` when no word
/// is near enough, or the word is short or has a digit: article numbers are not corrected. `fits`: how
/// many products hold a word together with the other words of the query.
///
/// The most probable one (a noisy channel; Kernighan, Church and Gale 1990): the logarithm of how
/// many products hold the word, and of how many hold it with the others, less [`SLIP`] for each slip.
#[must_use]
pub fn corrected(lexicon: &Lexicon, word: &str, fits: impl Fn(&str) -> u32) -> Option<String> {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < SHORTEST || word.chars().any(|c| !c.is_alphabetic()) {
        return None;
    }
    let most = if letters.len() < TWO_SLIPS_OF_COMMON {
        1
    } else {
        2
    };
    let own = lexicon::letters(word);
    let near = lexicon.vocabulary.iter().filter_map(|vocable| {
        // Each slip changes at most two of the letters that come in a word.
        let length = vocable.text.len();
        if vocable.products < FEWEST
            || length.abs_diff(word.len()) > 4 * most
            || (vocable.letters ^ own).count_ones() as usize > 2 * most
        {
            return None;
        }
        let other: Vec<char> = vocable.text.chars().collect();
        let slips = slips(&letters, &other, most)?;
        let first = other.first() == letters.first();
        let short = letters.len() < TWO_SLIPS;
        if slips == 0 || (slips > 1 && short && (vocable.products < COMMON || !first)) {
            return None;
        }
        let mut cost = if slips > 1 { 2.0 * SLIP } else { SLIP };
        if !first {
            cost += FIRST_LETTER;
        }
        if same_sound(&letters, &other) {
            cost -= LIKELY;
        }
        Some((vocable, cost))
    });
    let score = |(vocable, cost): &(&lexicon::Vocable, f64)| {
        let logarithm = |count: u32| f64::from(count).ln_1p();
        logarithm(vocable.products) + logarithm(fits(&vocable.text)) - cost
    };
    let best = near.map(|found| (score(&found), found.0));
    best.max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, vocable)| vocable.text.to_string())
}

/// Whether two words differ only in letters that are doubled, in vowels, or in their order: what ears
/// and fast fingers confuse.
fn same_sound(one: &[char], other: &[char]) -> bool {
    let single = |word: &[char]| -> Vec<char> {
        let mut word = word.to_vec();
        word.dedup();
        word
    };
    let consonants = |word: &[char]| -> Vec<char> {
        let consonants = word.iter().filter(|c| !"aeiouy".contains(**c));
        consonants.copied().collect()
    };
    let sorted = |word: &[char]| -> Vec<char> {
        let mut word = word.to_vec();
        word.sort_unstable();
        word
    };
    single(one) == single(other)
        || (one.len() == other.len()
            && (consonants(one) == consonants(other) || sorted(one) == sorted(other)))
}

/// Two words of the catalog that were written as one ("handbag" as "hand bag" is the other way
/// round, see [`ask`](super::ask)); the split with the rarer half most frequent.
#[must_use]
pub fn split(lexicon: &Lexicon, word: &str) -> Option<(String, String)> {
    let cuts = word.char_indices().map(|(at, _)| at).skip(2);
    let halves = cuts.filter_map(|at| {
        let (first, second) = word.split_at(at);
        let least = lexicon.products(first).min(lexicon.products(second));
        (second.chars().count() > 1 && least >= FEWEST).then_some((least, first, second))
    });
    let (_, first, second) = halves.max_by_key(|(least, ..)| *least)?;
    Some((first.to_owned(), second.to_owned()))
}

/// How many letters have to be added, left out, changed or swapped with the next one to make one
/// word of the other (optimal string alignment; Boytsov 2011, section 2.2); `None` above `most`.
fn slips(word: &[char], other: &[char], most: usize) -> Option<usize> {
    if word.len().abs_diff(other.len()) > most {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in word.iter().enumerate() {
        let mut row = vec![i + 1; other.len() + 1];
        for (j, with) in other.iter().enumerate() {
            let mut fewest = (last[j] + usize::from(letter != with))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            let swapped = i > 0 && j > 0 && *letter == other[j - 1] && word[i - 1] == *with;
            if swapped && letter != with {
                fewest = fewest.min(before[j - 1] + 1);
            }
            row[j + 1] = fewest;
        }
        if row.iter().min().is_some_and(|least| *least > most) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|slips| *slips <= most)
}

#[cfg(test)]
mod tests {
    use super::super::lexicon::{LexiconBuilder, ProductText};
    use super::super::text::Language;
    use super::*;
    use crate::index::columns::TableBuilder;

    fn lexicon(titles: &[&str]) -> Lexicon {
        let mut builder = LexiconBuilder::new(Language::English);
        for title in titles {
            for _ in 0..2 {
                builder.add(ProductText {
                    id: "1",
                    title,
                    description: None,
                });
            }
        }
        builder.finish(&TableBuilder::default().finish())
    }

    fn meant(lexicon: &Lexicon, word: &str) -> Option<String> {
        corrected(lexicon, word, |_| 0)
    }

    #[test]
    fn a_slip_is_one_letter_more_less_other_or_swapped() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        let of = |a: &str, b: &str| slips(&letters(a), &letters(b), 2);
        assert_eq!(of("shoe", "shoe"), Some(0));
        assert_eq!(of("shoe", "shoes"), Some(1));
        assert_eq!(of("tshrit", "tshirt"), Some(1));
        assert_eq!(of("wallat", "wallet"), Some(1));
        assert_eq!(of("addidass", "adidas"), Some(2));
        assert_eq!(of("abcd", "dcba"), None);
        assert_eq!(of("ca", "abc"), None, "no letter is changed twice");
    }

    #[test]
    fn slips_are_corrected_to_the_words_of_the_catalog() {
        let lexicon = lexicon(&[
            "Wallet",
            "Fossil Watch",
            "Jeans",
            "Lens",
            "Sunglasses",
            "adidas",
        ]);
        for (typed, expected) in [
            ("wallat", "wallet"),
            ("fosil", "fossil"),
            ("sunglases", "sunglasses"),
            ("addidas", "adidas"),
        ] {
            assert_eq!(meant(&lexicon, typed).as_deref(), Some(expected), "{typed}");
        }
        // As many slips away: the first letter decides.
        assert_eq!(meant(&lexicon, "jens").as_deref(), Some("jeans"));
        for typed in ["xyzxyz", "len", "4567", "wa11et"] {
            assert_eq!(meant(&lexicon, typed), None, "{typed}");
        }
    }

    #[test]
    fn a_common_word_and_a_likely_slip_are_preferred() {
        let common = |title: &'static str| [title; 400];
        let titles: Vec<&str> = [["Saddle Cover"; 2], ["Grey Fish"; 2]]
            .concat()
            .into_iter()
            .chain(common("Sandal"))
            .chain(common("Green Grey Dress Dresses"))
            .collect();
        let lexicon = lexicon(&titles);
        for (typed, expected) in [
            // Two letters from the common word, one from a rare one.
            ("sandle", "sandal"),
            // One letter from either; a doubled letter is sooner left out than another one typed.
            ("gren", "green"),
            ("dreses", "dresses"),
        ] {
            assert_eq!(meant(&lexicon, typed).as_deref(), Some(expected), "{typed}");
        }
        // Two slips in so short a word are forgiven for a common word alone, with its first letter.
        assert_eq!(meant(&lexicon, "zandle"), None);
        assert_eq!(meant(&lexicon, "cavers"), None);
    }

    #[test]
    fn what_fits_the_other_words_is_preferred() {
        let lexicon = lexicon(&["black boots", "black books"]);
        let with = |word: &'static str| move |other: &str| u32::from(other == word);
        assert_eq!(
            corrected(&lexicon, "booss", with("boots")).as_deref(),
            Some("boots")
        );
        assert_eq!(
            corrected(&lexicon, "booss", with("books")).as_deref(),
            Some("books")
        );
    }

    #[test]
    fn numbers_of_a_word_are_known() {
        let lexicon = lexicon(&["Boots", "Watch", "Accessories"]);
        for word in [
            "boots",
            "boot",
            "watch",
            "watches",
            "accessory",
            "accessories",
        ] {
            assert_eq!(known(&lexicon, word).as_deref(), Some(word));
        }
        for word in ["boat", "s"] {
            assert_eq!(known(&lexicon, word), None);
        }
        // Of another stem than its plural: the form that finds something, where that is no rare name.
        let titles = ["Lace Bra"; 10]
            .into_iter()
            .chain(["Sho Time", "Black Shoes"]);
        let lexicon = self::lexicon(&titles.collect::<Vec<_>>());
        assert_eq!(known(&lexicon, "bras").as_deref(), Some("bra"));
        assert_eq!(known(&lexicon, "shos"), None);
    }

    #[test]
    fn words_written_as_one_are_split() {
        let lexicon = lexicon(&["Hand Bag", "Black Shoes"]);
        assert_eq!(
            split(&lexicon, "blackshoes"),
            Some(("black".to_owned(), "shoes".to_owned()))
        );
        assert_eq!(split(&lexicon, "handcart"), None);
    }
}
