//! A CSV with a path and a label a row, as a retailer exports its own set. The first line names the
//! columns: the path is `image`, `path` or `file`, the label `label`, `class` or `category`; others
//! are left alone. Paths are relative to the CSV.

use std::path::Path;

use super::images::{LabeledImages, LabeledImagesError, malformed, missing_or};

/// # Errors
/// When the file is missing, lacks such columns, has a row without path or label, or has no row.
pub fn read(path: &Path) -> Result<LabeledImages, LabeledImagesError> {
    let file = std::fs::File::open(path)
        .map_err(|e| missing_or(path, "a CSV with the columns image and label", e))?;
    let mut reader = csv::Reader::from_reader(file);
    let header = reader
        .headers()
        .map_err(|e| malformed(path, Some(1), e.to_string()))?
        .clone();
    let column = |names: [&str; 3]| {
        let found = header
            .iter()
            .position(|h| names.iter().any(|n| h.trim().eq_ignore_ascii_case(n)));
        found.ok_or_else(|| {
            malformed(
                path,
                Some(1),
                format!("no column called {}", names.join(", ")),
            )
        })
    };
    let (image, label) = (
        column(["image", "path", "file"])?,
        column(["label", "class", "category"])?,
    );
    let beside = path.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| {
            let line = e.position().and_then(|p| usize::try_from(p.line()).ok());
            malformed(path, line, e.to_string())
        })?;
        let line = row.position().and_then(|p| usize::try_from(p.line()).ok());
        let field = |at: usize| row.get(at).map(str::trim).filter(|v| !v.is_empty());
        let (Some(image), Some(label)) = (field(image), field(label)) else {
            return Err(malformed(path, line, "a row without image or label"));
        };
        files.push((image.to_owned(), label.to_owned(), beside.join(image)));
    }
    if files.is_empty() {
        return Err(LabeledImagesError::Empty {
            path: path.to_owned(),
        });
    }
    let name = path
        .file_stem()
        .map_or_else(|| "images".to_owned(), |n| n.display().to_string());
    Ok(LabeledImages::of_files(name, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<LabeledImages, LabeledImagesError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("photos")).expect("a folder");
        std::fs::write(folder.path().join("photos/1.jpg"), b"one").expect("written");
        let path = folder.path().join("own.csv");
        std::fs::write(&path, text).expect("written");
        let set = read(&path)?;
        assert_eq!(set.picture(0).expect("beside the file").as_ref(), b"one");
        Ok(set)
    }

    #[test]
    fn reads_paths_and_labels() {
        let set = set("sku,Label,image\n7,\"Bags, small\",photos/1.jpg\n8,Belts,photos/2.jpg\n")
            .expect("a set");
        assert_eq!((set.name.as_str(), set.classes.len()), ("own", 2));
        assert_eq!(set.classes[set.items[0].class], "Bags, small");
        assert!(matches!(set.picture(1), Err(LabeledImagesError::NoPicture)));
    }

    #[test]
    fn sixty_five_categories() {
        let rows: Vec<String> = (0..65)
            .rev()
            .map(|i| format!("photos/1.jpg,category {i:02}"))
            .collect();
        let set = set(&format!("path,category\n{}\n", rows.join("\n"))).expect("a set");
        assert_eq!((set.classes.len(), set.items.len()), (65, 65));
        assert_eq!(set.classes[set.items[0].class], "category 64");
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| set(text).err().expect("refused").to_string();
        assert!(error("image,price\n1.jpg,3\n").contains("no column called label"));
        assert!(error("image,label\n1.jpg,\n").contains("line 2"));
        assert!(error("image,label\n1.jpg,a\n2.jpg\n").contains("line 3"));
        assert!(error("image,label\n").contains("no labeled image"));
        assert!(matches!(
            read(Path::new("/nowhere/x.csv")),
            Err(LabeledImagesError::Missing { .. })
        ));
    }
}
