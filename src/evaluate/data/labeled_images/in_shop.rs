//! DeepFashion's In-shop Clothes Retrieval benchmark (Liu et al., CVPR 2016) in the layout it is
//! handed out in.
//!
//! `Eval/list_eval_partition.txt` (or the same file in the folder itself): the number of images, a
//! line of column names, then `image_name item_id evaluation_status`, separated by white space, the
//! status `train`, `query` or `gallery`. Image names begin with `img/`, below the folder or its
//! `Img/`; the second folder of a name is the class:
//! `img/WOMEN/Dresses/id_00000002/02_1_front.jpg`. MEN and WOMEN together have 17 classes. Read:
//! `query` and `gallery`, the test part. `_` in class names becomes a space.

use std::path::{Path, PathBuf};

use super::images::{LabeledImages, LabeledImagesError, malformed, read_text};

const LIST: &str = "list_eval_partition.txt";
const EXPECTED: &str = "DeepFashion In-shop has its list in Eval/list_eval_partition.txt";

/// Reads the test part of the folder.
///
/// # Errors
/// When the list or the image folder is missing, a line is malformed, or the list is shorter than
/// it says.
pub fn read(folder: &Path) -> Result<LabeledImages, LabeledImagesError> {
    let nested = folder.join("Eval").join(LIST);
    let list = if nested.is_file() {
        nested
    } else {
        folder.join(LIST)
    };
    let text = read_text(&list, EXPECTED)?;
    let root = image_root(folder)?;
    let mut lines = text.lines();
    let count = lines.next().and_then(|l| l.trim().parse::<usize>().ok());
    let count =
        count.ok_or_else(|| malformed(&list, Some(1), "the number of images was expected"))?;
    let columns: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    if columns != ["image_name", "item_id", "evaluation_status"] {
        return Err(malformed(
            &list,
            Some(2),
            "the columns image_name item_id evaluation_status were expected",
        ));
    }
    let (mut files, mut rows) = (Vec::new(), 0);
    for (number, line) in lines.enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let wrong = |reason: &str| malformed(&list, Some(number + 3), reason);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, _item, status] = fields[..] else {
            return Err(wrong("three fields were expected"));
        };
        rows += 1;
        match status {
            "query" | "gallery" => {}
            "train" => continue,
            _ => return Err(wrong("the status is not train, query or gallery")),
        }
        let parts: Vec<&str> = name.split('/').collect();
        let &["img", _who, class, _item, _file] = parts.as_slice() else {
            return Err(wrong(
                "an image name like img/WOMEN/Dresses/id_00000002/02_1_front.jpg was expected",
            ));
        };
        if parts.contains(&"..") {
            return Err(wrong("an image name leaves the folder"));
        }
        files.push((name.to_owned(), class.replace('_', " "), root.join(name)));
    }
    if rows != count {
        return Err(malformed(
            &list,
            None,
            format!("the first line promises {count} images, {rows} are listed"),
        ));
    }
    if files.is_empty() {
        return Err(LabeledImagesError::Empty { path: list });
    }
    Ok(LabeledImages::of_files(
        "DeepFashion In-shop".to_owned(),
        files,
    ))
}

/// The folder that holds `img`.
fn image_root(folder: &Path) -> Result<PathBuf, LabeledImagesError> {
    let roots = [folder.to_owned(), folder.join("Img")];
    roots
        .into_iter()
        .find(|root| root.join("img").is_dir())
        .ok_or_else(|| LabeledImagesError::Missing {
            path: folder.join("Img/img"),
            expected: "the unpacked img.zip of the benchmark",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benchmark(list: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("Eval")).expect("a folder");
        std::fs::create_dir_all(folder.path().join("Img/img/WOMEN/Dresses/id_00000002"))
            .expect("a folder");
        std::fs::write(folder.path().join("Eval").join(LIST), list).expect("written");
        let picture = folder
            .path()
            .join("Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg");
        std::fs::write(picture, b"a picture").expect("written");
        folder
    }

    const LINES: &str = "4\nimage_name item_id evaluation_status\n\
        img/WOMEN/Dresses/id_00000002/02_1_front.jpg                             id_00000002 query\n\
        img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg  id_00000001 train\n\
        img/MEN/Tees_Tanks/id_00000390/09_1_front.jpg id_00000390 gallery\n\
        img/WOMEN/Tees_Tanks/id_00000400/01_3_back.jpg id_00000400 gallery\n";

    #[test]
    fn reads_the_test_part() {
        let folder = benchmark(LINES);
        let set = read(folder.path()).expect("a set");
        assert_eq!(set.classes, ["Dresses", "Tees Tanks"]);
        assert_eq!(
            set.items.iter().map(|i| i.class).collect::<Vec<_>>(),
            [0, 1, 1]
        );
        assert_eq!(set.picture(0).expect("a picture").as_ref(), b"a picture");
        assert!(
            matches!(set.picture(1), Err(LabeledImagesError::NoPicture)),
            "listed, not there: counted, not fatal"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |list: &str| {
            read(benchmark(list).path())
                .err()
                .expect("refused")
                .to_string()
        };
        assert!(error("many\n").contains("line 1"));
        assert!(error("1\nname item status\n").contains("line 2"));
        assert!(error(&LINES.replace("id_00000001 train", "train")).contains("line 4"));
        assert!(error(&LINES.replace("query", "test")).contains("line 3: the status"));
        assert!(
            error(&LINES.replace("img/MEN/Tees_Tanks/id_00000390", "img/../..")).contains("line 5")
        );
        assert!(error(&LINES.replacen('4', "5", 1)).contains("promises 5 images, 4 are listed"));
        let empty = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            read(empty.path()),
            Err(LabeledImagesError::Missing { .. })
        ));
    }
}
