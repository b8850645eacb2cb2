//! The report's pictures, small, inside the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::domain::ProductId;
use crate::evaluate::benchmark::retrieval::RetrievalResult;
use crate::evaluate::data::suite::{Query, Suite};
use crate::evaluate::subject::Engine;
use crate::vision::{ImageLimits, decode};

/// Edge in pixels: twice what is shown, for fine screens.
const EDGE: u32 = 200;
const QUALITY: u8 = 70;

/// Thumbnails by product and by case. Each is in the file once, as a style that any number of
/// places use.
#[derive(Clone, Debug, Default)]
pub struct Thumbnails {
    products: BTreeMap<ProductId, (usize, String)>,
    queries: BTreeMap<String, (usize, String)>,
}

/// Fetches the pictures that the report of these results shows. Those that are missing or cannot be
/// decoded are left out.
pub fn gather(
    engine: &mut dyn Engine,
    suite: &Suite,
    folder: &Path,
    results: &[&RetrievalResult],
) -> Thumbnails {
    let mut thumbnails = Thumbnails::default();
    for id in results.iter().flat_map(|r| r.products()) {
        if !thumbnails.products.contains_key(id)
            && let Some(uri) = engine.picture(id).and_then(|file| thumbnail(&file))
        {
            thumbnails
                .products
                .insert(id.clone(), (thumbnails.products.len(), uri));
        }
    }
    for case in &suite.cases {
        if let Query::Image { image, .. } = &case.query
            && let Some(uri) = std::fs::read(folder.join(image))
                .ok()
                .and_then(|file| thumbnail(&file))
        {
            thumbnails
                .queries
                .insert(case.name.clone(), (thumbnails.queries.len(), uri));
        }
    }
    thumbnails
}

impl Thumbnails {
    /// The style's class.
    pub(super) fn product(&self, id: &ProductId) -> Option<String> {
        self.products
            .get(id)
            .map(|(number, _)| format!("p{number}"))
    }

    pub(super) fn query(&self, case: &str) -> Option<String> {
        self.queries
            .get(case)
            .map(|(number, _)| format!("q{number}"))
    }

    pub(super) fn style(&self) -> String {
        let mut style = String::new();
        let all = self
            .products
            .values()
            .map(|p| ('p', p))
            .chain(self.queries.values().map(|q| ('q', q)));
        for (letter, (number, uri)) in all {
            let _ = writeln!(
                style,
                ".{letter}{number} {{ background-image: url({uri}); }}"
            );
        }
        style
    }
}

fn thumbnail(file: &[u8]) -> Option<String> {
    let photo = decode(file, &ImageLimits::DEFAULT).ok()?;
    let longest = photo.width().max(photo.height());
    let edge = |e: u32| (e * EDGE / longest.max(EDGE)).max(1);
    let small = image::imageops::thumbnail(&photo, edge(photo.width()), edge(photo.height()));
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&small)
        .ok()?;
    Some(format!("data:image/jpeg;base64,{}", base64(&jpeg)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number =
            three.iter().fold(0_u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_rfc_has_it() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn pictures_become_small_and_other_files_are_left_out() {
        let mut png = std::io::Cursor::new(Vec::new());
        let photo = image::RgbImage::from_pixel(800, 400, image::Rgb([200, 30, 30]));
        photo
            .write_to(&mut png, image::ImageFormat::Png)
            .expect("a picture");
        let uri = thumbnail(&png.into_inner()).expect("a thumbnail");
        assert!(
            uri.starts_with("data:image/jpeg;base64,/9j/") && uri.len() < 4_000,
            "{}",
            uri.len()
        );
        assert_eq!(thumbnail(b"not a picture"), None);
    }
}
