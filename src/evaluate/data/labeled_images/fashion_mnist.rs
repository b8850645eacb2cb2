//! Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747) in its own format: idx files, gzipped
//! or not.
//!
//! idx: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a
//! big-endian u32, then the values. Images are 28 x 28 on dark ground; [`read_light`] turns them
//! into the light ground that a shop's photos have. Class numbers and names are the official ones;
//! prompts use the words of a shop ([`CALLED`]).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::{
    Content, LabeledImage, LabeledImages, LabeledImagesError, malformed, missing_or,
};
use crate::catalog::PictureFiles;
use crate::evaluate::data::prompts::Prompts;

const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
/// What some of them are called in a shop; the others by their own names.
const CALLED: [(&str, &str); 7] = [
    ("T-shirt/top", "t-shirt"),
    ("Trouser", "trousers"),
    ("Pullover", "pullover sweater"),
    ("Sandal", "sandals"),
    ("Sneaker", "sneakers"),
    ("Bag", "handbag"),
    ("Ankle boot", "ankle boots"),
];
const EXPECTED: &str =
    "a folder with t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, with or without .gz";
/// Far above any file of this kind: a damaged header must not fill the memory.
const LARGEST: u64 = 1 << 30;

/// The test split with light and dark exchanged. A set of its own: its figures are not those of
/// Fashion-MNIST as published.
///
/// # Errors
/// As [`read`].
pub fn read_light(folder: &Path) -> Result<LabeledImages, LabeledImagesError> {
    let mut set = read(folder)?;
    for item in &mut set.items {
        if let Content::Gray { pixels, .. } = &mut item.content {
            *pixels = pixels.iter().map(|v| 255 - v).collect();
        }
    }
    Ok(LabeledImages {
        name: "Fashion-MNIST light".to_owned(),
        ..set
    })
}

/// Reads the test split (`t10k-..`) of the folder.
///
/// # Errors
/// When a file is missing, not an idx file of the right kind, or cut short, or the two do not
/// belong together.
pub fn read(folder: &Path) -> Result<LabeledImages, LabeledImagesError> {
    let (images_path, images) = load(folder, "t10k-images-idx3-ubyte")?;
    let (labels_path, labels) = load(folder, "t10k-labels-idx1-ubyte")?;
    let (shape, pixels) = idx(&images_path, &images, 3)?;
    let (label_shape, labels) = idx(&labels_path, &labels, 1)?;
    let [count, height, width] = shape[..] else {
        return Err(malformed(&images_path, None, "not three dimensions"));
    };
    if height != width || height == 0 {
        return Err(malformed(
            &images_path,
            None,
            format!("images of {width} x {height} pixels, squares were expected"),
        ));
    }
    if label_shape != [count] {
        return Err(malformed(
            &labels_path,
            None,
            format!("{} labels for {count} images", labels.len()),
        ));
    }
    if let Some(position) = labels.iter().position(|l| usize::from(*l) >= CLASSES.len()) {
        return Err(malformed(
            &labels_path,
            None,
            format!(
                "label {} of image {position} is not from 0 to 9",
                labels[position]
            ),
        ));
    }
    let edge =
        u32::try_from(width).map_err(|_| malformed(&images_path, None, "images too large"))?;
    let items: Vec<LabeledImage> = pixels
        .chunks_exact(width * height)
        .zip(labels)
        .enumerate()
        .map(|(number, (pixels, label))| LabeledImage {
            id: number.to_string(),
            class: usize::from(*label),
            attributes: BTreeMap::new(),
            content: Content::Gray {
                edge,
                pixels: Arc::from(pixels),
            },
        })
        .collect();
    if items.is_empty() {
        return Err(LabeledImagesError::Empty { path: images_path });
    }
    let classes = CLASSES.map(str::to_owned).to_vec();
    let (name, prompts) = (
        "Fashion-MNIST".to_owned(),
        Prompts::default().called(&CALLED),
    );
    Ok(LabeledImages {
        name,
        classes,
        items,
        prompts,
        pictures: PictureFiles::default(),
    })
}

/// The file's `.gz`, unpacked, or the file itself where there is no `.gz`.
fn load(folder: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), LabeledImagesError> {
    let packed = folder.join(format!("{name}.gz"));
    let plain = folder.join(name);
    let (path, file) = match std::fs::File::open(&packed) {
        Ok(file) => (packed, file),
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(LabeledImagesError::Io {
                path: packed,
                source,
            });
        }
        Err(_) => (
            plain.clone(),
            std::fs::File::open(&plain).map_err(|e| missing_or(&plain, EXPECTED, e))?,
        ),
    };
    let mut bytes = Vec::new();
    let read = if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(file)
            .take(LARGEST)
            .read_to_end(&mut bytes)
    } else {
        file.take(LARGEST).read_to_end(&mut bytes)
    };
    read.map_err(|e| malformed(&path, None, format!("cannot be read to its end: {e}")))?;
    Ok((path, bytes))
}

/// Dimensions and values.
fn idx<'a>(
    path: &Path,
    bytes: &'a [u8],
    dimensions: usize,
) -> Result<(Vec<usize>, &'a [u8]), LabeledImagesError> {
    let head = 4 + 4 * dimensions;
    let kind = [0, 0, 8, u8::try_from(dimensions).unwrap_or(0)];
    if bytes.len() < head || bytes[..4] != kind {
        return Err(malformed(
            path,
            None,
            format!("not an idx file of unsigned bytes in {dimensions} dimensions"),
        ));
    }
    let (sizes, values) = bytes[4..].split_at(head - 4);
    let shape: Vec<usize> = sizes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|size| usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX))
        .collect();
    let expected = shape
        .iter()
        .try_fold(1_usize, |product, n| product.checked_mul(*n));
    if expected != Some(values.len()) {
        return Err(malformed(
            path,
            None,
            format!(
                "the header promises {shape:?} values, {} are there",
                values.len()
            ),
        ));
    }
    Ok((shape, values))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let file =
            std::fs::File::create(folder.path().join("t10k-images-idx3-ubyte.gz")).expect("a file");
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(images).expect("written");
        packed.finish().expect("written");
        std::fs::write(folder.path().join("t10k-labels-idx1-ubyte"), labels).expect("written");
        folder
    }

    fn images(count: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28];
        bytes.extend((0..count).flat_map(|i| [i; 784]));
        bytes
    }

    #[test]
    fn reads_packed_and_plain() {
        let folder = folder(&images(3), &[0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7]);
        let set = read(folder.path()).expect("a set");
        let classes: Vec<&str> = set
            .items
            .iter()
            .map(|i| set.classes[i.class].as_str())
            .collect();
        assert_eq!(classes, ["Ankle boot", "T-shirt/top", "Sneaker"]);
        let picture = image::load_from_memory(&set.picture(2).expect("PNG"))
            .expect("PNG")
            .to_luma8();
        assert_eq!(
            (picture.dimensions(), picture.get_pixel(5, 5).0),
            ((28, 28), [2])
        );
        let said = set.prompts();
        assert_eq!(said.check(&set.classes), Ok(()));
        assert_eq!(
            said.texts("T-shirt/top", &BTreeMap::new()),
            ["t-shirt", "a photo of t-shirt"]
        );
        assert_eq!(
            said.texts("Coat", &BTreeMap::new()),
            ["coat", "a photo of coat"]
        );
        let light = read_light(folder.path())
            .expect("a set")
            .picture(2)
            .expect("PNG");
        assert_eq!(
            image::load_from_memory(&light)
                .expect("PNG")
                .to_luma8()
                .get_pixel(5, 5)
                .0,
            [253]
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |images: &[u8], labels: &[u8]| {
            read(folder(images, labels).path())
                .err()
                .expect("refused")
                .to_string()
        };
        let labels = [0, 0, 8, 1, 0, 0, 0, 1, 4];
        assert!(error(&images(1)[..500], &labels).contains("the header promises"));
        assert!(error(&images(2), &labels).contains("1 labels for 2 images"));
        assert!(error(&images(1), &[0, 0, 8, 1, 0, 0, 0, 1, 10]).contains("label 10"));
        assert!(error(&[1, 2, 3], &labels).contains("not an idx file"));
        let empty = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            read(empty.path()),
            Err(LabeledImagesError::Missing { .. })
        ));
    }

    #[test]
    fn an_archive_that_cannot_be_opened_is_not_passed_over() {
        let folder = folder(&images(1), &[0, 0, 8, 1, 0, 0, 0, 1, 4]);
        let packed = folder.path().join("t10k-images-idx3-ubyte.gz");
        std::fs::remove_file(&packed).expect("removed");
        std::fs::write(folder.path().join("t10k-images-idx3-ubyte"), images(1)).expect("written");
        assert!(read(folder.path()).is_ok());
        // A link to itself: there, and not to be opened, by whomever the test is run.
        std::os::unix::fs::symlink(&packed, &packed).expect("a link");
        let error = read(folder.path()).err().expect("refused");
        assert!(
            matches!(&error, LabeledImagesError::Io { path, .. } if *path == packed),
            "{error}"
        );
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let folder = folder(&images(3), &[0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7]);
        let path = folder.path().join("t10k-images-idx3-ubyte.gz");
        let bytes = std::fs::read(&path).expect("a file");
        std::fs::write(&path, &bytes[..bytes.len() - 12]).expect("written");
        assert!(
            read(folder.path())
                .err()
                .expect("refused")
                .to_string()
                .contains("cannot be read to its end")
        );
    }
}
