//! The name that was perhaps meant.

/// The nearest of the known names, when it is near enough to be a slip: a third of the name's letters
/// at most are others (Damerau and Levenshtein's distance).
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let known = ["listen", "language", "data"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("langauge", known), Some("language"));
        assert_eq!(nearest("dta", known), Some("data"));
        assert_eq!(nearest("colors", known), None);
        assert_eq!(nearest("", known), None);
    }
}
