//! The synonyms in use: the default list and a shop's own file, which is read again when it changes.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::index::lexical::{Language, Stems, Synonyms, SynonymsError};
use crate::util::stamp::Stamp;

/// Synonyms that can be exchanged while searches use them.
pub struct Thesaurus {
    language: Language,
    own: Option<PathBuf>,
    current: ArcSwap<Read>,
}

/// What was read, and from which state of the file.
struct Read {
    synonyms: Arc<Synonyms>,
    stamp: Option<Stamp>,
}

impl Thesaurus {
    /// Reads the default list, and the shop's own file where there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is not a rule.
    pub fn read(language: Language, own: Option<PathBuf>) -> Result<Self, SynonymsError> {
        let stamp = own.as_deref().and_then(Stamp::of);
        let synonyms = Synonyms::read(&Stems::of(language), own.as_deref())?;
        let read = Read {
            synonyms: Arc::new(synonyms),
            stamp,
        };
        Ok(Self {
            language,
            own,
            current: ArcSwap::from_pointee(read),
        })
    }

    /// Those in use.
    #[must_use]
    pub fn current(&self) -> Arc<Synonyms> {
        Arc::clone(&self.current.load().synonyms)
    }

    /// Reads the file again when it is another one; whether it was. Blocks on the file.
    ///
    /// # Errors
    /// As [`Thesaurus::read`]: what was in use stays, and the same file is not read again.
    pub fn renew(&self) -> Result<bool, SynonymsError> {
        let Some(own) = &self.own else {
            return Ok(false);
        };
        let stamp = Stamp::of(own);
        if stamp == self.current.load().stamp {
            return Ok(false);
        }
        let read = Synonyms::read(&Stems::of(self.language), Some(own));
        let (synonyms, result) = match read {
            Ok(synonyms) => (Arc::new(synonyms), Ok(true)),
            Err(error) => (self.current(), Err(error)),
        };
        self.current.store(Arc::new(Read { synonyms, stamp }));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("synonyms.txt");
        std::fs::write(&path, "kicks => sneakers\n").expect("written");
        let thesaurus = Thesaurus::read(Language::English, Some(path.clone())).expect("reads");
        let of = |word: &str| {
            let synonyms = thesaurus.current();
            let key = [Stems::of(Language::English).stem(word)];
            synonyms.of(&key).len()
        };
        assert_eq!((of("kicks"), of("brogans")), (1, 0));
        assert!(!thesaurus.renew().expect("the same"));
        std::fs::write(&path, "brogans => boots, shoes\n").expect("written");
        assert!(thesaurus.renew().expect("another"));
        assert_eq!((of("kicks"), of("brogans")), (0, 2));
        std::fs::write(&path, "nothing\n").expect("written");
        assert!(matches!(
            thesaurus.renew(),
            Err(SynonymsError::Line { line: 1, .. })
        ));
        assert_eq!(of("brogans"), 2);
        assert!(!thesaurus.renew().expect("said once"));
        std::fs::remove_file(&path).expect("removed");
        assert!(thesaurus.renew().is_err());
        assert_eq!(of("brogans"), 2);
    }
}
