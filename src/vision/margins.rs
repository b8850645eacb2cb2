//! The white that product photos stand on, cut off: what is left fills the square that the model
//! sees.

use std::borrow::Cow;

use super::photo::Photo;

/// Above this there is no ink: JPEG leaves ripples beside edges, and studios shade.
const WHITE: u8 = 240;
/// A line is white if its pixels' ink is at most this on average: one black pixel in 120 is a
/// speck. A sum is the same in a photo and in its thumbnail, which a count of pixels below a
/// threshold is not: of 1,500 photos at 168x224 or more and at 60x80, both trimmed, an edge was off
/// by more than 4% of the photo in 0.9%; counting, in 53%.
const SPECKS: u32 = 2;

/// The photo without the white lines at its four sides; as it is where there are none, or nothing
/// else.
///
/// What has no white background, such as a shopper's own photo, is left as it is.
#[must_use]
pub fn trim(photo: &Photo) -> Cow<'_, Photo> {
    let (width, height) = photo.dimensions();
    let (mut columns, mut rows) = (vec![0_u32; width as usize], vec![0_u32; height as usize]);
    for (line, line_ink) in photo
        .as_raw()
        .chunks_exact(width.max(1) as usize * 3)
        .zip(&mut rows)
    {
        for (pixel, column) in line.as_chunks::<3>().0.iter().zip(&mut columns) {
            let ink = u32::from(WHITE.saturating_sub(pixel[0].min(pixel[1]).min(pixel[2])));
            *column += ink;
            *line_ink += ink;
        }
    }
    let (Some((left, across)), Some((top, down))) = (span(&columns, height), span(&rows, width))
    else {
        return Cow::Borrowed(photo);
    };
    if (across, down) == (width, height) {
        return Cow::Borrowed(photo);
    }
    Cow::Owned(::image::imageops::crop_imm(photo, left, top, across, down).to_image())
}

/// Where the lines that are not white begin, and how many there are from there to the last of them.
/// `inks` are the sums over each line, of `length` pixels.
fn span(inks: &[u32], length: u32) -> Option<(u32, u32)> {
    let seen = |&ink: &u32| ink > SPECKS * length;
    let (first, last) = (inks.iter().position(seen)?, inks.iter().rposition(seen)?);
    Some((
        u32::try_from(first).ok()?,
        u32::try_from(last - first + 1).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    /// A red rectangle on near-white.
    fn product(left: u32, top: u32, width: u32, height: u32) -> Photo {
        Photo::from_fn(300, 200, |x, y| {
            let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
            Rgb(if inside { [200, 0, 0] } else { [255, 250, 241] })
        })
    }

    #[test]
    fn white_margins_go_and_nothing_else() {
        let photo = product(40, 30, 100, 50);
        let trimmed = trim(&photo);
        assert_eq!(trimmed.dimensions(), (100, 50));
        assert!(trimmed.pixels().all(|pixel| *pixel == Rgb([200, 0, 0])));
        // White inside of the product, and what touches a side, stay.
        let mut ring = product(0, 30, 300, 50);
        (10..290).for_each(|x| ring.put_pixel(x, 50, Rgb([255; 3])));
        assert_eq!(trim(&ring).dimensions(), (300, 50));
    }

    #[test]
    fn specks_do_not_keep_a_margin() {
        let mut photo = product(40, 30, 100, 50);
        photo.put_pixel(299, 199, Rgb([0; 3]));
        photo.put_pixel(0, 0, Rgb([0; 3]));
        assert_eq!(trim(&photo).dimensions(), (100, 50));
    }

    #[test]
    fn a_thumbnail_is_trimmed_as_its_photo_is() {
        // Ripples in the margins beside the product, as JPEG leaves them in a small photo.
        let mut small = Photo::from_pixel(60, 40, Rgb([254; 3]));
        let at = |x: u32, y: u32| (8..28).contains(&x) && (6..16).contains(&y);
        for (x, y, pixel) in small.enumerate_pixels_mut() {
            let near = (0..28 + 8).contains(&x) && (0..16 + 6).contains(&y);
            let ripple = if near && (x + y) % 3 == 0 { 236 } else { 250 };
            *pixel = Rgb(if at(x, y) {
                [200, 0, 0]
            } else {
                [254, 250, ripple]
            });
        }
        assert_eq!(trim(&small).dimensions(), (20, 10));
    }

    #[test]
    fn a_photo_without_margins_or_without_anything_stays_as_it_is() {
        let full = Photo::from_pixel(7, 5, Rgb([237, 255, 255]));
        let white = Photo::from_pixel(7, 5, Rgb([238; 3]));
        for photo in [full, white, Photo::new(0, 0), Photo::new(3, 0)] {
            assert!(
                matches!(trim(&photo), Cow::Borrowed(_)),
                "{:?}",
                photo.dimensions()
            );
        }
        // One pixel of something is a product where it is a sixtieth of the line.
        let mut dot = Photo::from_pixel(60, 60, Rgb([255; 3]));
        dot.put_pixel(9, 8, Rgb([0; 3]));
        assert_eq!(trim(&dot).dimensions(), (1, 1));
    }
}
