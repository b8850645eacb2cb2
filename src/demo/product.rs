//! What a product of the demonstration is: decided here, drawn elsewhere.

use super::palette::{self, LACE_COLORS, SHOE_COLORS, Swatch};
use crate::util::random::Random;

/// The kinds of footwear that are drawn; `articleType` of the Kaggle layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Sneakers with laces, and slip-ons and loafers without.
    CasualShoes,
    SportsShoes,
    /// Oxfords and derbies with laces, and loafers without.
    FormalShoes,
    /// Lace-up boots, and Chelsea boots without laces.
    Boots,
    Sandals,
    Heels,
    FlipFlops,
    /// Ballerinas.
    Flats,
}

impl Category {
    pub const ALL: [Self; 8] = [
        Self::CasualShoes,
        Self::SportsShoes,
        Self::FormalShoes,
        Self::Boots,
        Self::Sandals,
        Self::Heels,
        Self::FlipFlops,
        Self::Flats,
    ];

    /// The word in the catalog, such as `Casual Shoes`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CasualShoes => "Casual Shoes",
            Self::SportsShoes => "Sports Shoes",
            Self::FormalShoes => "Formal Shoes",
            Self::Boots => "Boots",
            Self::Sandals => "Sandals",
            Self::Heels => "Heels",
            Self::FlipFlops => "Flip Flops",
            Self::Flats => "Flats",
        }
    }

    /// The Kaggle layout's `subCategory`.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::Sandals => "Sandal",
            Self::FlipFlops => "Flip Flops",
            _ => "Shoes",
        }
    }

    /// Whether some products of the category have laces.
    #[must_use]
    pub fn has_laces(self) -> bool {
        matches!(
            self,
            Self::CasualShoes | Self::SportsShoes | Self::FormalShoes | Self::Boots
        )
    }
}

/// How the photo is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// One shoe from its side.
    Side,
    /// One shoe from the front and above, the catalogs' usual view.
    ThreeQuarter,
    /// Both shoes from above.
    Pair,
}

/// One product of the demonstration.
///
/// The fields may be changed before [`super::render`]: a caller that trains a model draws one shoe
/// with laces of every color. Laces are drawn on categories that have them
/// ([`Category::has_laces`]) and are `None` on all others.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoProduct {
    pub id: u64,
    /// `Men`, `Women`, `Boys`, `Girls` or `Unisex`.
    pub gender: &'static str,
    pub category: Category,
    pub color: &'static Swatch,
    /// One of [`LACE_COLORS`]; `None` when no laces are to be seen.
    pub laces: Option<&'static Swatch>,
    pub title: String,
    pub usage: &'static str,
    pub season: &'static str,
    pub year: u16,
    /// In cents.
    pub price: u32,
    /// In cents; a fifth of the products have one.
    pub sale_price: Option<u32>,
    pub view: View,
    /// Decides everything that has no field: the cut, the sole, the camera, the light.
    pub look: u64,
}

impl DemoProduct {
    /// The word in `shoelaces.csv`: a color, or `none`.
    #[must_use]
    pub fn shoelace_color(&self) -> &'static str {
        self.laces.map_or("none", |s| s.name)
    }
}

/// The first product's id; the others follow. Kaggle's own ids end below it.
const FIRST_ID: u64 = 100_001;

/// Invented, and none of them a name that a dealer in shoes goes by (to our knowledge).
const BRANDS: [&str; 16] = [
    "Tarnwick",
    "Quillfen",
    "Hespermoor",
    "Norrfold",
    "Sorrelby",
    "Pellandine",
    "Bramlowe",
    "Ossbury",
    "Zephrine",
    "Calverly Moss",
    "Drumelow",
    "Ivenhart",
    "Marrowby",
    "Wexcombe",
    "Yarrowmont",
    "Fenlocke",
];

/// Model names between brand and color.
const MODELS: [&str; 20] = [
    "Harbor", "Atlas", "Meadow", "Comet", "Drift", "Cedar", "Pulse", "Orbit", "Willow", "Quarry",
    "Tempo", "Bay", "Ember", "Crest", "Juno", "Vale", "Summit", "Echo", "Linden", "Rally",
];

/// Product `index` of the catalog with that seed.
#[must_use]
pub fn draw(seed: u64, index: u64) -> DemoProduct {
    let mut random = Random::of(seed, index);
    let r = &mut random;
    let category = r.weighted(&[
        (Category::CasualShoes, 26.0),
        (Category::SportsShoes, 22.0),
        (Category::FormalShoes, 13.0),
        (Category::Boots, 13.0),
        (Category::Sandals, 8.0),
        (Category::Heels, 8.0),
        (Category::FlipFlops, 5.0),
        (Category::Flats, 5.0),
    ]);
    let gender = gender(category, r);
    let color = color(category, r);
    let laces = laces(category, r);
    let brand = r.pick(&BRANDS);
    let model = if r.chance(0.6) {
        format!(" {}", r.pick(&MODELS))
    } else {
        String::new()
    };
    let kind = match (category, laces) {
        (Category::CasualShoes, None) => "Slip-On Casual Shoes",
        (Category::FormalShoes, None) => "Slip-On Formal Shoes",
        _ => category.name(),
    };
    let view = r.weighted(match category {
        Category::FlipFlops => &[
            (View::Pair, 0.5),
            (View::ThreeQuarter, 0.5),
            (View::Side, 0.0),
        ],
        _ => &[
            (View::ThreeQuarter, 0.6),
            (View::Side, 0.24),
            (View::Pair, 0.16),
        ],
    });
    let usage = usage(category, r);
    let season = r.weighted(&[
        ("Summer", 4.0),
        ("Winter", 2.0),
        ("Fall", 3.0),
        ("Spring", 1.0),
    ]);
    let year = *r.pick(&[2023, 2024, 2025, 2026]);
    let look = r.number();
    let (price, sale_price) = prices(category, look);
    DemoProduct {
        id: FIRST_ID.saturating_add(index),
        gender,
        category,
        color,
        laces,
        title: format!("{brand} {gender}{model} {} {kind}", color.name),
        usage,
        season,
        year,
        price,
        sale_price,
        view,
        look,
    }
}

/// Of the number that decides what has no field, so that the drawings are what they were before
/// products had prices.
fn prices(category: Category, look: u64) -> (u32, Option<u32>) {
    let least = match category {
        Category::FlipFlops => 9,
        Category::Sandals | Category::Flats => 29,
        Category::CasualShoes | Category::SportsShoes => 49,
        Category::Heels | Category::FormalShoes => 69,
        Category::Boots => 89,
    };
    let mut random = Random::of(look, 0);
    let r = &mut random;
    let steps = *r.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12]);
    let price = (least + 10 * steps) * 100 + 90;
    let percent = r.chance(0.2).then(|| *r.pick(&[70, 75, 80, 90]));
    (price, percent.map(|percent| price * percent / 100))
}

fn gender(category: Category, r: &mut Random) -> &'static str {
    match category {
        Category::Heels | Category::Flats => r.weighted(&[("Women", 9.0), ("Girls", 1.0)]),
        Category::FormalShoes => r.weighted(&[("Men", 9.0), ("Women", 1.0)]),
        Category::Sandals => r.weighted(&[("Women", 5.0), ("Men", 4.0), ("Girls", 1.0)]),
        _ => r.weighted(&[
            ("Men", 5.0),
            ("Women", 4.0),
            ("Boys", 0.7),
            ("Girls", 0.7),
            ("Unisex", 1.0),
        ]),
    }
}

fn usage(category: Category, r: &mut Random) -> &'static str {
    match category {
        Category::SportsShoes => "Sports",
        Category::FormalShoes => "Formal",
        Category::Heels => r.weighted(&[("Casual", 3.0), ("Party", 2.0), ("Formal", 1.0)]),
        Category::CasualShoes => r.weighted(&[("Casual", 9.0), ("Smart Casual", 1.0)]),
        _ => "Casual",
    }
}

/// Leather shoes come in the colors of leather; the rest in any.
fn color(category: Category, r: &mut Random) -> &'static Swatch {
    let leather = [
        ("Black", 5.0),
        ("Brown", 5.0),
        ("Tan", 3.0),
        ("Maroon", 1.5),
        ("Navy Blue", 1.0),
        ("Grey", 1.0),
        ("Beige", 1.0),
        ("Olive", 0.7),
        ("White", 0.5),
        ("Red", 0.5),
    ];
    match category {
        Category::FormalShoes => palette::shoe(r.weighted(&leather)),
        Category::Boots if r.chance(0.7) => palette::shoe(r.weighted(&leather)),
        // Metal colors belong on evening shoes.
        Category::Heels | Category::Sandals | Category::Flats => r.pick(&SHOE_COLORS),
        _ if r.chance(0.35) => {
            palette::shoe(r.weighted(&[("Black", 1.2), ("White", 1.0), ("Grey", 0.6)]))
        }
        _ => r.pick(&SHOE_COLORS[..16]),
    }
}

/// The color of the laces does not depend on the shoe's. Formal shoes and boots leave out what no
/// shop sells, so that there are questions ("formal shoes with pink laces") that the catalog
/// cannot answer, and some that few products do.
fn laces(category: Category, r: &mut Random) -> Option<&'static Swatch> {
    let without = match category {
        Category::CasualShoes => 0.2,
        Category::SportsShoes => 0.08,
        Category::FormalShoes => 0.25,
        Category::Boots => 0.22,
        _ => 1.0,
    };
    if r.chance(without) {
        return None;
    }
    let formal = [
        ("black", 5.0),
        ("brown", 5.0),
        ("beige", 1.2),
        ("grey", 1.2),
        ("blue", 1.0),
        ("white", 0.8),
        ("red", 0.6),
    ];
    let boots = [
        ("black", 3.0),
        ("brown", 3.0),
        ("beige", 2.0),
        ("grey", 1.5),
        ("red", 1.5),
        ("yellow", 1.5),
        ("white", 1.5),
        ("blue", 1.0),
        ("orange", 0.9),
        ("green", 0.9),
    ];
    Some(match category {
        Category::FormalShoes => palette::lace(r.weighted(&formal)),
        Category::Boots => palette::lace(r.weighted(&boots)),
        _ => r.pick(&LACE_COLORS),
    })
}
