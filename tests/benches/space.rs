//! Vectors that are synthetic and clustered: a thousand directions by chance, and around each, members
//! whose cosine to it is about 0.7, as products of one kind have in a CLIP space.

use aglet::domain::Embedding;

use crate::noise::Noise;

pub const CLUSTERS: usize = 1_000;

/// Roughly normal: the sum of three uniform numbers, in 1/65,536.
pub fn normal(noise: &mut Noise) -> f32 {
    let bits = noise.bits();
    let part = |shift: u32| {
        f32::from(u16::try_from(bits >> shift & 0xffff).expect("16 bits")) / 65_536.0 - 0.5
    };
    (part(0) + part(16) + part(32)) * 2.0
}

pub struct Space {
    pub noise: Noise,
    pub dimensions: usize,
    centers: Vec<Vec<f32>>,
}

impl Space {
    pub fn new(dimensions: usize) -> Self {
        let mut noise = Noise(2026);
        let centers = (0..CLUSTERS)
            .map(|_| (0..dimensions).map(|_| normal(&mut noise)).collect())
            .collect();
        Self {
            noise,
            dimensions,
            centers,
        }
    }

    pub fn point(&mut self) -> Embedding {
        let cluster = self.noise.below(CLUSTERS);
        let mut noise = Noise(self.noise.0);
        let point = self.member(cluster, &mut noise);
        self.noise = noise;
        point
    }

    pub fn member(&self, cluster: usize, noise: &mut Noise) -> Embedding {
        let center = self.centers[cluster].iter();
        let values = center.map(|c| c + normal(noise)).collect();
        Embedding::new(values, self.dimensions).expect("not zero")
    }
}
