//! The vectors, each made of its number alone: a million of them are never in memory together but where
//! one of the two sides keeps them.

use std::path::Path;
use std::thread;

use aglet::domain::Embedding;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use crate::noise::Noise;
use crate::space::{CLUSTERS, Space, normal};

/// The neighbors of a product that it is mixed with.
const NEIGHBORS: usize = 16;
const MIXED: usize = 3;
/// The most of each.
const SHARE: f32 = 0.4;
/// The standard deviation of what is added to each number, as a share of the mean absolute one.
const NOISE: f32 = 0.2;
/// The first number of what is asked: far from all products.
const QUERIES: u64 = 1 << 40;

const BASE: &str = "SELECT photo.vector, words.vector FROM products AS p \
     JOIN pictures AS i ON i.product = p.key AND i.number = 1 \
     JOIN embeddings AS photo ON photo.kind = 'photo' AND photo.hash = i.hash \
     JOIN embeddings AS words ON words.kind = 'words' AND words.hash = p.words_hash AND words.model = photo.model \
     WHERE photo.model = (SELECT key FROM models ORDER BY used DESC, key DESC LIMIT 1) ORDER BY p.key";

pub enum Points {
    /// Of `space.rs`.
    Drawn(Space),
    Grown(Grown),
}

/// Made of real ones: a product is one of them, mixed with some of its neighbors, and noise.
pub struct Grown {
    base: Vec<Embedding>,
    near: Vec<[usize; NEIGHBORS]>,
}

impl Points {
    pub fn drawn(dimensions: usize) -> Self {
        Self::Drawn(Space::new(dimensions))
    }

    /// Of the products of a data folder that have a picture: the vector of the picture and that of the
    /// caption, one behind the other.
    pub fn of(data: &Path, runtime: &Runtime) -> Self {
        let base = runtime.block_on(read(data)).expect("a catalog");
        assert!(base.len() > NEIGHBORS, "too few products with a picture");
        let near = neighbors(&base);
        Self::Grown(Grown { base, near })
    }

    pub fn said(&self) -> String {
        match self {
            Self::Drawn(_) => format!("drawn around {CLUSTERS} directions (`space.rs`)"),
            Self::Grown(grown) => format!(
                "made of those of {} real products (picture and caption, one behind the other), each \
                 mixed with {MIXED} of its {NEIGHBORS} nearest and noise",
                grown.base.len()
            ),
        }
    }

    pub fn dimensions(&self) -> usize {
        self.point(0).dimensions()
    }

    pub fn point(&self, number: u64) -> Embedding {
        let mut noise = Noise(number);
        match self {
            Self::Drawn(space) => {
                let cluster = noise.below(CLUSTERS);
                space.member(cluster, &mut noise)
            }
            Self::Grown(grown) => grown.point(&mut noise),
        }
    }

    pub fn queries(&self, count: usize) -> Vec<Embedding> {
        (QUERIES..)
            .take(count)
            .map(|number| self.point(number))
            .collect()
    }
}

impl Grown {
    fn point(&self, noise: &mut Noise) -> Embedding {
        let product = noise.below(self.base.len());
        let own = self.base[product].as_slice();
        let mut values = own.to_vec();
        for _ in 0..MIXED {
            let other = self.near[product][noise.below(NEIGHBORS)];
            let share = SHARE * uniform(noise);
            let other = self.base[other].as_slice();
            for ((value, other), own) in values.iter_mut().zip(other).zip(own) {
                *value += share * (other - own);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let mean = own.iter().map(|value| value.abs()).sum::<f32>() / own.len() as f32;
        for value in &mut values {
            *value += NOISE * mean * normal(noise);
        }
        Embedding::new(values, own.len()).expect("not zero")
    }
}

/// From 0 to 1.
fn uniform(noise: &mut Noise) -> f32 {
    f32::from(u16::try_from(noise.below(65_536)).expect("16 bits")) / 65_535.0
}

async fn read(data: &Path) -> Result<Vec<Embedding>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(data.join("catalog.sqlite"))
        .read_only(true);
    let mut connection = options.connect().await?;
    let rows = sqlx::query(BASE).fetch_all(&mut connection).await?;
    connection.close().await?;
    let mut base = Vec::new();
    for row in rows {
        let (photo, words): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let bytes = photo.as_chunks().0.iter().chain(words.as_chunks().0);
        let values: Vec<f32> = bytes.map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let dimensions = values.len();
        base.push(Embedding::new(values, dimensions).expect("a vector"));
    }
    Ok(base)
}

/// The nearest of the others, for each.
fn neighbors(base: &[Embedding]) -> Vec<[usize; NEIGHBORS]> {
    let of = |product: usize| {
        let own = base[product].as_slice();
        let mut others: Vec<(f32, usize)> = base
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != product)
            .map(|(other, vector)| (dot(own, vector.as_slice()), other))
            .collect();
        others.select_nth_unstable_by(NEIGHBORS - 1, |a, b| b.0.total_cmp(&a.0));
        // Their order is that of the numbers, whatever the selection made of it.
        let mut nearest: [usize; NEIGHBORS] = std::array::from_fn(|place| others[place].1);
        nearest.sort_unstable();
        nearest
    };
    in_parts(base.len(), |part| part.map(of).collect::<Vec<_>>()).concat()
}

/// Does something with every part of `0..count`, a part for each core.
pub fn in_parts<T: Send>(count: usize, of: impl Fn(std::ops::Range<usize>) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = count.div_ceil(threads).max(1);
    let of = &of;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..count)
            .step_by(size)
            .map(|start| scope.spawn(move || of(start..count.min(start + size))))
            .collect();
        let parts = parts.into_iter();
        parts.map(|part| part.join().expect("done")).collect()
    })
}

/// Summed in sixteen parts, which the processor adds at once.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for place in 0..16 {
            sums[place] += a[place] * b[place];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
