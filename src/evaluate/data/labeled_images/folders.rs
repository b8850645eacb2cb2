//! A folder of class folders: `Dresses/1.jpg`, `Shirts/a/2.png`. The name of the first folder is
//! the class; hidden files and files whose ending is not that of a picture are passed over.

use std::path::{Path, PathBuf};

use super::images::{LabeledImages, LabeledImagesError, missing_or};

const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "jfif"];

/// # Errors
/// When the folder cannot be read or holds no picture in a class folder.
pub fn read(folder: &Path) -> Result<LabeledImages, LabeledImagesError> {
    let mut files = Vec::new();
    for class in entries(folder)?.into_iter().filter(|p| p.is_dir()) {
        let Some(label) = class
            .file_name()
            .and_then(|n| n.to_str())
            .map(str::to_owned)
        else {
            continue;
        };
        let mut waiting = vec![class];
        while let Some(next) = waiting.pop() {
            if next.is_dir() {
                waiting.extend(entries(&next)?);
            } else if is_picture(&next) {
                let id = next
                    .strip_prefix(folder)
                    .unwrap_or(&next)
                    .display()
                    .to_string();
                files.push((id, label.clone(), next));
            }
        }
    }
    if files.is_empty() {
        return Err(LabeledImagesError::Empty {
            path: folder.to_owned(),
        });
    }
    files.sort();
    let name = folder
        .file_name()
        .map_or_else(|| "images".to_owned(), |n| n.display().to_string());
    Ok(LabeledImages::of_files(name, files))
}

/// What is in a folder, hidden files aside.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, LabeledImagesError> {
    let fail = |e| missing_or(folder, "a folder with one folder a class", e);
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(fail)?.collect();
    let paths = entries.map_err(fail)?.into_iter();
    Ok(paths
        .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| e.path())
        .collect())
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_is_the_class() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "Dresses/1.jpg",
            "Dresses/deep/2.PNG",
            "Shirts/3.webp",
            "Shirts/notes.txt",
            "Shirts/.4.jpg",
            "5.jpg",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
            std::fs::write(path, file).expect("written");
        }
        let set = read(folder.path()).expect("a set");
        assert_eq!(set.classes, ["Dresses", "Shirts"]);
        let ids: Vec<&str> = set.items.iter().map(|i| i.id.as_str()).collect();
        assert_eq!(
            ids,
            ["Dresses/1.jpg", "Dresses/deep/2.PNG", "Shirts/3.webp"]
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            read(folder.path()),
            Err(LabeledImagesError::Empty { .. })
        ));
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(LabeledImagesError::Missing { .. })
        ));
    }
}
