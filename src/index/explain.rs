//! Why a product is where it is.

use super::inner::Inner;
use super::lexical::Asked;
use super::rank;
use super::ranking::Ranking;
use super::values::{Explanation, Hit, PartMatch, SearchError};

impl Inner {
    /// Of each hit what its score is made of. `asked`: the query in words, when it is one.
    pub(super) fn explained(
        &self,
        hits: &[Hit],
        ranking: Ranking<'_>,
        asked: Option<&Asked>,
    ) -> Result<Vec<Explanation>, SearchError> {
        let slots: Vec<u32> = hits.iter().filter_map(|hit| self.slot(hit.key)).collect();
        let mut explanations = vec![Explanation::default(); slots.len()];
        if let Some(query) = ranking.vector() {
            let cosines = self.index.scores(query, slots.iter().copied())?;
            for (explanation, (_, cosine)) in explanations.iter_mut().zip(cosines) {
                explanation.cosine = Some(cosine);
            }
        }
        match ranking {
            Ranking::Catalog | Ranking::Near(_) => {}
            Ranking::Vote(..) => {
                for (explanation, hit) in explanations.iter_mut().zip(hits) {
                    let cosine = explanation.cosine.unwrap_or_default();
                    explanation.votes = Some(rank::share_of(hit.score, cosine));
                }
            }
            Ranking::Words { tiers, near, .. } => {
                let weights = asked.map(|asked| asked.weights(self.products()));
                let total: f32 = weights.iter().flatten().sum();
                let parts = asked.into_iter().flat_map(|asked| &asked.parts);
                let parts: Vec<_> = parts.zip(weights.iter().flatten()).collect();
                for (explanation, slot) in explanations.iter_mut().zip(&slots) {
                    let tier = tiers.iter().find(|tier| tier.slots.contains(*slot));
                    explanation.coverage = tier.map(|tier| tier.coverage);
                    let spread = near.map(|(_, spread)| spread);
                    let place = spread.zip(explanation.cosine);
                    explanation.nearness = place.map(|(spread, cosine)| spread.nearness(cosine));
                    let matches = parts.iter().filter_map(|(part, weight)| {
                        Some(PartMatch {
                            text: part.text.clone(),
                            weight: *weight / total,
                            strength: part.strengths.of(*slot)?,
                        })
                    });
                    explanation.parts = matches.collect();
                }
            }
        }
        Ok(explanations)
    }
}
