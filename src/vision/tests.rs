//! Unit tests of the photo's way to pixels.

use ::image::Rgb;
use ::image::codecs::png::PngEncoder;
use ::image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat};

use std::io::Cursor;

use ::image::metadata::Orientation;

use super::bicubic::Window;
use super::decode::upright;
use super::*;

const LIMITS: ImageLimits = ImageLimits {
    max_pixels: 1_000_000,
    max_edge: 4_000,
};

fn preprocessing(size: u32, fit: Fit) -> Preprocessing {
    Preprocessing {
        size,
        fit,
        views: vec![],
        mean: [0.5, 0.4, 0.3],
        std: [0.5, 0.25, 0.2],
    }
}

/// What is seen where one view is.
fn view(photo: &Photo, preprocessing: &Preprocessing) -> Photo {
    let [view] = views(photo, preprocessing).try_into().expect("one view");
    view
}

fn gradient(width: u32, height: u32) -> Photo {
    Photo::from_fn(width, height, |x, y| {
        let byte = |v: u32| u8::try_from(v % 256).expect("a byte");
        Rgb([byte(x * 5), byte(y * 7), byte(x * y)])
    })
}

fn encoded(photo: &Photo, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    photo.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

fn png(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(pixels, width, height, color)
        .expect("encodes");
    file
}

/// A TIFF header with the one tag.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

#[test]
fn what_is_no_image_is_named() {
    assert_eq!(decode(b"", &LIMITS), Err(ImageError::Empty));
    for other in [
        &b"hello"[..],
        b"II*\0",
        b"\0\0\0\x1cftypavif",
        b"GIF88a",
        b"%PDF-1.7",
        &[0xFF, 0xD8],
    ] {
        assert_eq!(decode(other, &LIMITS), Err(ImageError::UnsupportedFormat));
    }
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Jpeg,
    ] {
        let file = encoded(&gradient(30, 20), format);
        let cut = decode(&file[..file.len() / 2], &LIMITS);
        assert!(
            matches!(cut, Err(ImageError::Broken { .. })),
            "{format:?}: {cut:?}"
        );
    }
}

#[test]
fn lossless_formats_give_their_pixels_back() {
    let photo = gradient(31, 17);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        assert_eq!(
            decode(&encoded(&photo, format), &LIMITS).expect("decodes"),
            photo,
            "{format:?}"
        );
    }
}

#[test]
fn sizes_are_checked_before_pixels_are_decoded() {
    let small = ImageLimits {
        max_pixels: 599,
        max_edge: 4_000,
    };
    let narrow = ImageLimits {
        max_pixels: 600,
        max_edge: 29,
    };
    let enough = ImageLimits {
        max_pixels: 600,
        max_edge: 30,
    };
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Jpeg,
    ] {
        let file = encoded(&gradient(30, 20), format);
        for limits in [small, narrow] {
            let ImageLimits {
                max_pixels,
                max_edge,
            } = limits;
            let refused = ImageError::TooLarge {
                width: 30,
                height: 20,
                max_pixels,
                max_edge,
            };
            assert_eq!(decode(&file, &limits), Err(refused.clone()), "{format:?}");
            assert_eq!(dimensions(&file, &limits), Err(refused), "{format:?}");
        }
        assert!(decode(&file, &enough).is_ok(), "{format:?}");
        assert_eq!(dimensions(&file, &enough), Ok((30, 20)), "{format:?}");
    }
    // A header that claims more than the file could hold.
    let mut bomb = encoded(&gradient(30, 20), ImageFormat::Bmp);
    bomb[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bomb[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    assert!(matches!(
        decode(&bomb, &LIMITS),
        Err(ImageError::TooLarge { width: 60_000, .. })
    ));
}

#[test]
fn transparency_becomes_white() {
    let rgba = [10, 20, 30, 0, 10, 20, 30, 255, 0, 0, 0, 128];
    let photo = decode(&png(&rgba, 3, 1, ExtendedColorType::Rgba8), &LIMITS).expect("decodes");
    assert_eq!(photo.as_raw(), &[255, 255, 255, 10, 20, 30, 127, 127, 127]);
    let photo =
        decode(&png(&[7, 0, 7, 255], 2, 1, ExtendedColorType::La8), &LIMITS).expect("decodes");
    assert_eq!(photo.as_raw(), &[255, 255, 255, 7, 7, 7]);
}

#[test]
fn sixteen_bits_keep_the_high_byte() {
    let values: Vec<u8> = [0x1234u16, 0xFFFF, 0x00FF]
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    let gray = decode(&png(&values, 3, 1, ExtendedColorType::L16), &LIMITS).expect("decodes");
    assert_eq!(
        gray.as_raw(),
        &[0x12, 0x12, 0x12, 0xFF, 0xFF, 0xFF, 0, 0, 0]
    );
    let color = decode(&png(&values, 1, 1, ExtendedColorType::Rgb16), &LIMITS).expect("decodes");
    assert_eq!(color.as_raw(), &[0x12, 0xFF, 0]);
}

#[test]
fn all_eight_orientations_are_applied() {
    // The stored photo is 2 wide and 3 high: a b / c d / e f.
    let stored: Vec<u8> = b"abcdef".iter().flat_map(|&v| [v; 3]).collect();
    let upright = [
        (1, 2, "abcdef"),
        (2, 2, "badcfe"),
        (3, 2, "fedcba"),
        (4, 2, "efcdab"),
        (5, 3, "acebdf"),
        (6, 3, "ecafdb"),
        (7, 3, "fdbeca"),
        (8, 3, "bdface"),
        (9, 2, "abcdef"),
    ];
    for (orientation, width, letters) in upright {
        let mut file = Vec::new();
        let mut encoder = PngEncoder::new(&mut file);
        encoder
            .set_exif_metadata(exif(orientation))
            .expect("PNG holds EXIF");
        encoder
            .write_image(&stored, 2, 3, ExtendedColorType::Rgb8)
            .expect("encodes");
        let photo = decode(&file, &LIMITS).expect("decodes");
        let seen: String = photo.pixels().map(|p| char::from(p.0[0])).collect();
        assert_eq!(
            (photo.width(), seen.as_str()),
            (width, letters),
            "orientation {orientation}"
        );
    }
}

#[test]
fn a_jpeg_is_turned_upright() {
    let plain = encoded(&gradient(40, 24), ImageFormat::Jpeg);
    let flat = decode(&plain, &LIMITS).expect("decodes");
    let mut payload = b"Exif\0\0".to_vec();
    payload.extend(exif(6));
    let mut turned = plain[..2].to_vec();
    turned.extend([0xFF, 0xE1]);
    turned.extend(
        u16::try_from(payload.len() + 2)
            .expect("short")
            .to_be_bytes(),
    );
    turned.extend(payload);
    turned.extend(&plain[2..]);
    let turned = decode(&turned, &LIMITS).expect("decodes");
    assert_eq!(turned, ::image::imageops::rotate90(&flat));
}

#[test]
fn turning_by_tiles_equals_turning_by_pixels() {
    let photo = gradient(70, 45);
    for number in 1..=8 {
        let orientation = Orientation::from_exif(number).expect("1 to 8");
        let mut expected = DynamicImage::ImageRgb8(photo.clone());
        expected.apply_orientation(orientation);
        assert_eq!(
            upright(photo.clone(), orientation),
            expected.into_rgb8(),
            "orientation {number}"
        );
    }
}

#[test]
fn every_shape_becomes_a_square() {
    for fit_ in [Fit::Crop, Fit::Pad, Fit::Trim, Fit::Squash] {
        for (width, height) in [
            (1, 1),
            (1, 500),
            (500, 1),
            (3, 2),
            (64, 64),
            (63, 65),
            (200, 33),
        ] {
            let square = view(&gradient(width, height), &preprocessing(32, fit_));
            assert_eq!(square.dimensions(), (32, 32), "{fit_:?} {width} x {height}");
        }
    }
    for fit_ in [Fit::Crop, Fit::Pad, Fit::Trim, Fit::Squash] {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (64, 64), (200, 33)] {
            let wide = Preprocessing {
                views: vec![1000],
                ..preprocessing(3, fit_)
            };
            assert_eq!(
                view(&gradient(width, height), &wide).dimensions(),
                (3, 3),
                "{fit_:?} {width} x {height}"
            );
        }
    }
    let padded = view(
        &Photo::from_pixel(20, 10, Rgb([9, 9, 9])),
        &preprocessing(10, Fit::Pad),
    );
    let white = |y: u32| padded.get_pixel(5, y).0 == [255; 3];
    // Five rows are left over; two of them go above.
    assert_eq!(
        (0..10).map(white).collect::<Vec<_>>(),
        [[true; 2].as_slice(), &[false; 5], &[true; 3]].concat()
    );
}

#[test]
fn trimming_fills_the_square_with_what_is_not_white() {
    let shoe = gradient(80, 40);
    let mut photo = Photo::from_pixel(200, 300, Rgb([255; 3]));
    ::image::imageops::replace(&mut photo, &shoe, 60, 130);
    let trimmed = view(&photo, &preprocessing(40, Fit::Trim));
    assert_eq!(trimmed, view(&shoe, &preprocessing(40, Fit::Pad)));
    assert_ne!(trimmed, view(&photo, &preprocessing(40, Fit::Pad)));
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let photo = gradient(57, 91);
    let whole = bicubic::resize(photo.as_raw(), 57, Window::whole(30), Window::whole(44));
    let across = Window {
        scaled: 30,
        start: 4,
        length: 20,
    };
    let down = Window {
        scaled: 44,
        start: 7,
        length: 25,
    };
    let part = bicubic::resize(photo.as_raw(), 57, across, down);
    let expected: Vec<u8> = (7..32)
        .flat_map(|y| whole[(y * 30 + 4) * 3..(y * 30 + 24) * 3].to_vec())
        .collect();
    assert_eq!(part, expected);
}

#[test]
fn channels_come_first_and_each_has_its_own_mean() {
    let square = Photo::from_fn(2, 2, |x, y| {
        Rgb([
            255,
            u8::try_from(x).expect("0 or 1") * 255,
            u8::from(y == 1),
        ])
    });
    let values = normalize(&square, &preprocessing(2, Fit::Squash));
    let expected = [
        1.0, 1.0, 1.0, 1.0, -1.6, 2.4, -1.6, 2.4, -1.5, -1.5, -1.480_392, -1.480_392,
    ];
    assert_eq!(values.len(), 12);
    assert!(
        values
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-5),
        "{values:?}"
    );
}

#[test]
fn photos_of_phones_are_within_the_default_limits() {
    // 48, 50, 50 and 64 megapixels, and panoramas.
    for (width, height) in [
        (8_064, 6_048),
        (8_160, 6_144),
        (8_192, 6_144),
        (9_248, 6_944),
        (16_382, 3_628),
    ] {
        assert_eq!(
            ImageLimits::DEFAULT.check(width, height),
            Ok(()),
            "{width} x {height}"
        );
    }
    assert!(ImageLimits::DEFAULT.check(12_000, 9_000).is_err());
}
