//! The bytes of an image file -> an upright photo, as Pillow would decode it.
//!
//! Reads JPEG, PNG, WebP, GIF (first frame) and BMP; the bytes decide, never a name or a content
//! type. Everything else is [`ImageError::UnsupportedFormat`], also what Pillow would read (TIFF,
//! AVIF, ..). The header's size is held against the limits before a pixel is decoded, so that a
//! bomb costs nothing. A file that ends before its last row is refused, smaller damage is not, as
//! in Pillow.
//!
//! Where this differs from Pillow's `convert("RGB")` on purpose: the EXIF orientation is applied,
//! transparency is composed over white (Pillow shows whatever color lies under it), and gray of 16
//! bits keeps its high byte (Pillow clips it to white). What the first frame of a GIF leaves free
//! is white (in Pillow: the background color, which browsers ignore too). Color profiles are
//! ignored, as Pillow ignores them.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder};

use super::jpeg;
use super::photo::{ImageError, ImageLimits, Photo, broken};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
}

fn sniff(file: &[u8]) -> Result<Format, ImageError> {
    Ok(match file {
        [] => return Err(ImageError::Empty),
        [0xFF, 0xD8, 0xFF, ..] => Format::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Format::Png,
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Format::WebP,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Format::Gif,
        [b'B', b'M', ..] => Format::Bmp,
        _ => return Err(ImageError::UnsupportedFormat),
    })
}

/// Width and height as the header gives them, before the orientation is applied: cheap, nothing is
/// decoded.
///
/// # Errors
/// As [`decode`], for what the header shows.
pub fn dimensions(file: &[u8], limits: &ImageLimits) -> Result<(u32, u32), ImageError> {
    contained(|| {
        let (width, height) = match sniff(file)? {
            Format::Jpeg => jpeg::dimensions(file)?,
            format => decoder(format, file, limits)?.dimensions(),
        };
        limits.check(width, height)?;
        Ok((width, height))
    })
}

/// Sniffs the format, checks the header's dimensions, decodes, turns upright.
///
/// # Errors
/// When the file is empty, in no format that is read here, larger than the limits, or broken.
pub fn decode(file: &[u8], limits: &ImageLimits) -> Result<Photo, ImageError> {
    contained(|| match sniff(file)? {
        Format::Jpeg => {
            let orientation = jpeg::exif(file).and_then(Orientation::from_exif_chunk);
            Ok(upright(
                jpeg::decode(file, limits)?,
                orientation.unwrap_or(Orientation::NoTransforms),
            ))
        }
        format => {
            let mut decoder = decoder(format, file, limits)?;
            // Broken metadata is no reason to refuse the picture.
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
            if format == Format::Bmp && bits_of_bmp(file) == Some(16) {
                // Its one or four bits of alpha are seldom meant; Pillow ignores them too.
                picture = picture.into_rgb8().into();
            }
            Ok(upright(over_white(picture), orientation))
        }
    })
}

/// The decoders are meant not to panic on any input; should one do so, it is the file's fault and
/// not the worker's end.
fn contained<T>(work: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken("the decoder gave up")))
}

fn decoder<'a>(
    format: Format,
    file: &'a [u8],
    limits: &ImageLimits,
) -> Result<Box<dyn ImageDecoder + 'a>, ImageError> {
    let bytes = Cursor::new(file);
    let mut decoder: Box<dyn ImageDecoder + 'a> = match format {
        Format::Png => {
            // This one holds the limits against the header itself: the size is told from the
            // error's side here, so that the answer is the same as for the other formats.
            if let Some((width, height)) = png_size(file) {
                limits.check(width, height)?;
            }
            Box::new(PngDecoder::with_limits(bytes, limits.of_decoder()).map_err(broken)?)
        }
        Format::WebP => Box::new(WebPDecoder::new(bytes).map_err(broken)?),
        Format::Gif => Box::new(GifDecoder::new(bytes).map_err(broken)?),
        Format::Bmp => Box::new(BmpDecoder::new(bytes).map_err(broken)?),
        Format::Jpeg => return Err(ImageError::UnsupportedFormat),
    };
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(broken("the header gives no size"));
    }
    limits.check(width, height)?;
    decoder.set_limits(limits.of_decoder()).map_err(broken)?;
    Ok(decoder)
}

/// The size in a PNG's first chunk.
fn png_size(file: &[u8]) -> Option<(u32, u32)> {
    let at = |from: usize| Some(u32::from_be_bytes(*file.get(from..)?.first_chunk()?));
    (file.get(12..16)? == b"IHDR").then_some(())?;
    Some((at(16)?, at(20)?))
}

/// Bits of a pixel in a BMP's header.
fn bits_of_bmp(file: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(*file.get(28..)?.first_chunk()?))
}

/// 8-bit RGB, alpha composed over white. Of 16 bits the high byte is kept, as Pillow does for
/// color.
fn over_white(picture: DynamicImage) -> Photo {
    let (width, height) = (picture.width(), picture.height());
    let high = |v: u16| v.to_be_bytes()[0];
    let rgb: Vec<u8> = match picture {
        DynamicImage::ImageRgb8(photo) => return photo,
        DynamicImage::ImageLuma8(gray) => {
            gray.into_raw().into_iter().flat_map(|v| [v; 3]).collect()
        }
        DynamicImage::ImageLumaA8(gray) => gray
            .into_raw()
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[v, a]| compose([v; 3], a))
            .collect(),
        DynamicImage::ImageRgba8(rgba) => rgba
            .into_raw()
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[r, g, b, a]| compose([r, g, b], a))
            .collect(),
        DynamicImage::ImageLuma16(gray) => gray
            .into_raw()
            .into_iter()
            .flat_map(|v| [high(v); 3])
            .collect(),
        DynamicImage::ImageLumaA16(gray) => gray
            .into_raw()
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[v, a]| compose([high(v); 3], high(a)))
            .collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(rgba) => rgba
            .into_raw()
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[r, g, b, a]| compose([r, g, b].map(high), high(a)))
            .collect(),
        other => return other.to_rgb8(),
    };
    Photo::from_raw(width, height, rgb).expect("three bytes were made of every pixel")
}

/// `color` over white, rounded as Pillow's `paste` with a mask rounds.
fn compose(color: [u8; 3], alpha: u8) -> [u8; 3] {
    color.map(|v| {
        let sum = u32::from(v) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 128;
        u8::try_from(((sum >> 8) + sum) >> 8).unwrap_or(u8::MAX)
    })
}

/// Edge of the tiles in which a photo is turned: a column of the stored photo is read while its
/// lines are still in the cache.
const TILE: usize = 32;

/// Turns a photo as its EXIF orientation says (EXIF 2.32, tag 0x0112).
pub(super) fn upright(photo: Photo, orientation: Orientation) -> Photo {
    // From a position in the upright photo to (column, row) in the stored one: which axis runs
    // along which, and from which end.
    let (swapped, right_to_left, bottom_up) = match orientation {
        Orientation::NoTransforms => return photo,
        Orientation::FlipHorizontal => (false, true, false),
        Orientation::Rotate180 => (false, true, true),
        Orientation::FlipVertical => (false, false, true),
        Orientation::Rotate90FlipH => (true, false, false),
        Orientation::Rotate90 => (true, false, true),
        Orientation::Rotate270FlipH => (true, true, true),
        Orientation::Rotate270 => (true, true, false),
    };
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let (columns, rows) = if swapped {
        (height, width)
    } else {
        (width, height)
    };
    let stored = photo.as_raw().as_chunks::<3>().0;
    let mut turned = vec![0; stored.len() * 3];
    let pixels = turned.as_chunks_mut::<3>().0;
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for y in top..rows.min(top + TILE) {
                for x in left..columns.min(left + TILE) {
                    let (column, row) = if swapped { (y, x) } else { (x, y) };
                    let column = if right_to_left {
                        width - 1 - column
                    } else {
                        column
                    };
                    let row = if bottom_up { height - 1 - row } else { row };
                    pixels[y * columns + x] = stored[row * width + column];
                }
            }
        }
    }
    let (columns, rows) = if swapped {
        (photo.height(), photo.width())
    } else {
        photo.dimensions()
    };
    Photo::from_raw(columns, rows, turned).expect("as many pixels as before")
}
