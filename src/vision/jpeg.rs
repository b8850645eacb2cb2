//! JPEG through libjpeg-turbo, with Pillow's verdicts.
//!
//! Pillow and this decode with the same library and the same settings, so the pixels are equal.
//! What differs is how a damaged file is judged: TurboJPEG calls every warning an error after it
//! has filled the picture, Pillow ignores warnings and refuses only what ends before the last row.
//! [`decode`] judges as Pillow does.

use std::ops::Range;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat};

use super::photo::{ImageError, ImageLimits, Photo, broken};

/// A progressive file of a few kilobytes can name thousands of scans, each as dear as a whole
/// picture; cameras and editors write about ten.
const MOST_SCANS: u32 = 200;

/// What libjpeg warns of and goes on; its error messages begin otherwise (`jerror.h`, `JWRN_`).
const WARNINGS: [&str; 6] = [
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Inconsistent progression sequence",
    "Invalid SOS parameters for sequential JPEG",
    "Unknown Adobe color transform code",
    "Warning:",
];
/// Two ways in which a file that breaks off could have gone on: the marker that ends an image, and
/// more of its data.
const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
const MORE_DATA: [u8; 512] = [0xA5; 512];

/// Decodes to RGB, not yet upright.
pub(super) fn decode(file: &[u8], limits: &ImageLimits) -> Result<Photo, ImageError> {
    let mut decompressor = decompressor()?;
    match decompressor.read_header(file) {
        Ok(header) => pixels(&mut decompressor, file, header, limits),
        // A warning in the header hides the header: decode a copy without the bytes that libjpeg
        // stumbles over.
        Err(error) if is_warning(&error) => {
            let clean = without_header_oddities(file);
            let header = decompressor.read_header(&clean).map_err(broken)?;
            pixels(&mut decompressor, &clean, header, limits)
        }
        Err(error) => Err(broken(error)),
    }
}

/// Width and height as the header says.
pub(super) fn dimensions(file: &[u8]) -> Result<(u32, u32), ImageError> {
    let mut decompressor = decompressor()?;
    let header = match decompressor.read_header(file) {
        Err(error) if is_warning(&error) => {
            decompressor.read_header(&without_header_oddities(file))
        }
        other => other,
    };
    size(&header.map_err(broken)?)
}

/// The payloads of the `Exif` segments, from the TIFF header on.
pub(super) fn exif(file: &[u8]) -> Option<&[u8]> {
    segments(file).find_map(|segment| {
        let payload = &file[segment.payload];
        (segment.marker == 0xE1).then(|| payload.strip_prefix(b"Exif\0\0"))?
    })
}

fn decompressor() -> Result<Decompressor, ImageError> {
    let mut decompressor = Decompressor::new().map_err(broken)?;
    decompressor.set_scan_limit(MOST_SCANS).map_err(broken)?;
    Ok(decompressor)
}

fn size(header: &DecompressHeader) -> Result<(u32, u32), ImageError> {
    match (u32::try_from(header.width), u32::try_from(header.height)) {
        (Ok(width @ 1..), Ok(height @ 1..)) => Ok((width, height)),
        _ => Err(broken("the header gives no size")),
    }
}

fn pixels(
    decompressor: &mut Decompressor,
    file: &[u8],
    header: DecompressHeader,
    limits: &ImageLimits,
) -> Result<Photo, ImageError> {
    let (width, height) = size(&header)?;
    limits.check(width, height)?;
    let format = match header.colorspace {
        Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
        _ => PixelFormat::RGB,
    };
    let pitch = header.width * format.size();
    let mut rows = vec![0; pitch * header.height];
    let mut decode_to = |pixels: &mut [u8], file: &[u8]| {
        decompressor.decompress(
            file,
            Image {
                pixels,
                width: header.width,
                pitch,
                height: header.height,
                format,
            },
        )
    };
    let forgive = |error| {
        if is_warning(&error) {
            Ok(())
        } else {
            Err(broken(error))
        }
    };
    if let Err(error) = decode_to(&mut rows, file) {
        forgive(error)?;
        let mut continued = rows.clone();
        // What follows the file's last byte shows only in the pixels of a file that ends before its
        // last row.
        decode_to(&mut continued, &[file, &MORE_DATA].concat()).or_else(forgive)?;
        decode_to(&mut rows, &[file, &END_OF_IMAGE].concat()).or_else(forgive)?;
        if rows != continued {
            return Err(broken("the file is cut off"));
        }
    }
    if format == PixelFormat::CMYK {
        rows = rows
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|cmyk| rgb_of_inverted_cmyk(*cmyk))
            .collect();
    }
    Photo::from_raw(width, height, rows).ok_or_else(|| broken("the decoder gave too few pixels"))
}

/// Adobe writes CMYK inverted, and Pillow takes every four-channel JPEG for Adobe's; then its plain
/// conversion, without a color profile.
fn rgb_of_inverted_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    // k is inverted already: this is `255 - black`. Rounds c * k / 255 as Pillow's MULDIV255 does.
    let ink = |inverted: u8| {
        let product = (255 - u32::from(inverted)) * u32::from(k) + 128;
        k.saturating_sub(u8::try_from(((product >> 8) + product) >> 8).unwrap_or(u8::MAX))
    };
    [ink(c), ink(m), ink(y)]
}

fn is_warning(error: &turbojpeg::Error) -> bool {
    matches!(error, turbojpeg::Error::TurboJpegError(message) if WARNINGS.iter().any(|w| message.starts_with(w)))
}

/// A marker segment of the header.
struct Segment {
    marker: u8,
    /// With its marker and length.
    whole: Range<usize>,
    payload: Range<usize>,
}

/// The segments from the start of the file up to and including the first start of scan (ITU T.81,
/// annex B). Skips stray bytes between segments, and ends where a segment leaves the file.
fn segments(file: &[u8]) -> impl Iterator<Item = Segment> + '_ {
    let mut at = 2;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        loop {
            at += file.get(at..)?.iter().position(|&b| b == 0xFF)?;
            let marker = *file.get(at + 1)?;
            match marker {
                // A fill byte, or a stuffed or parameterless one.
                0xFF => at += 1,
                0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
                0xD9 => return None,
                _ => {
                    let length =
                        usize::from(u16::from_be_bytes([*file.get(at + 2)?, *file.get(at + 3)?]));
                    let whole = at..at + 2 + length;
                    if length < 2 || whole.end > file.len() {
                        return None;
                    }
                    at = whole.end;
                    done = marker == 0xDA;
                    return Some(Segment {
                        marker,
                        payload: whole.start + 4..whole.end,
                        whole,
                    });
                }
            }
        }
    })
}

/// A copy without stray bytes between the header's segments, and with a JFIF revision and an Adobe
/// color transform that libjpeg knows: those that it assumes where it does not.
fn without_header_oddities(file: &[u8]) -> Vec<u8> {
    let mut clean = vec![0xFF, 0xD8];
    let mut rest = file.len();
    let is_frame = |marker| matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
    let frame = segments(file).find(|segment| is_frame(segment.marker));
    let components = frame.and_then(|frame| file[frame.payload].get(5).copied());
    for segment in segments(file) {
        rest = segment.whole.end;
        let start = clean.len();
        clean.extend_from_slice(&file[segment.whole]);
        let payload = &mut clean[start + 4..];
        match segment.marker {
            0xE0 if payload.starts_with(b"JFIF\0") && payload.len() >= 7 => {
                payload[5..7].copy_from_slice(&[1, 1]);
            }
            0xEE if payload.starts_with(b"Adobe") && payload.len() >= 12 && payload[11] > 2 => {
                payload[11] = if components == Some(4) { 2 } else { 1 };
            }
            _ => {}
        }
    }
    clean.extend_from_slice(&file[rest..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ImageLimits = ImageLimits {
        max_pixels: 10_000,
        max_edge: 1_000,
    };

    fn sample() -> Vec<u8> {
        let (width, height) = (48, 40);
        let pixels: Vec<u8> = (0..width * height * 3)
            .map(|i| u8::try_from(i * 7 % 256).expect("a byte"))
            .collect();
        let image = Image {
            pixels: pixels.as_slice(),
            width,
            pitch: width * 3,
            height,
            format: PixelFormat::RGB,
        };
        turbojpeg::compress(image, 90, turbojpeg::Subsamp::Sub2x2)
            .expect("compresses")
            .to_vec()
    }

    #[test]
    fn a_missing_end_marker_is_forgiven_and_missing_rows_are_not() {
        let whole = sample();
        let photo = decode(&whole, &LIMITS).expect("whole");
        assert_eq!(
            decode(&whole[..whole.len() - 2], &LIMITS).expect("all rows are there"),
            photo
        );
        let cut = decode(&whole[..whole.len() * 2 / 3], &LIMITS);
        assert!(matches!(cut, Err(ImageError::Broken { .. })), "{cut:?}");
    }

    #[test]
    fn stray_bytes_and_odd_revisions_in_the_header_are_forgiven() {
        let whole = sample();
        let photo = decode(&whole, &LIMITS).expect("whole");
        let first = segments(&whole).next().expect("JFIF");
        let mut stray = whole.clone();
        stray.splice(first.whole.end..first.whole.end, *b"stray");
        assert_eq!(decode(&stray, &LIMITS).expect("decodes"), photo);
        let mut revision = whole.clone();
        revision[first.payload.start + 5] = 9;
        assert_eq!(decode(&revision, &LIMITS).expect("decodes"), photo);
        assert_eq!(dimensions(&revision), Ok((48, 40)));
        let mut adobe = whole.clone();
        adobe.splice(2..2, *b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\xC7");
        assert_eq!(decode(&adobe, &LIMITS).expect("decodes"), photo);
    }

    #[test]
    fn ink_becomes_light() {
        assert_eq!(rgb_of_inverted_cmyk([255, 255, 255, 255]), [255, 255, 255]);
        assert_eq!(rgb_of_inverted_cmyk([0, 255, 255, 255]), [0, 255, 255]);
        assert_eq!(rgb_of_inverted_cmyk([255, 255, 255, 0]), [0, 0, 0]);
    }

    #[test]
    fn every_prefix_is_answered() {
        let whole = sample();
        for end in 0..whole.len() {
            let _ = decode(&whole[..end], &LIMITS);
            let _ = exif(&whole[..end]);
        }
    }
}
