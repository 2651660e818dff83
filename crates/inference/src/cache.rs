//! Answers that were computed before. The key is the whole question, so that no two questions share one.

use std::sync::Arc;

use ports::Tensor;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

/// SHA-256 of the manifest (and so of the model file, the preprocessing and the normalisation), of every input with its shape, and
/// of the names of the outputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn of<'a>(
        manifest_sha256: &str,
        inputs: &[Tensor],
        outputs: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut hasher = Sha256::new();
        // Everything is preceded by its length, so that nothing can be read in two ways.
        let text = |hasher: &mut Sha256, text: &str| {
            hasher.update(text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&mut hasher, manifest_sha256);
        hasher.update(inputs.len().to_le_bytes());
        for Tensor { name, shape, data } in inputs {
            text(&mut hasher, name);
            hasher.update(shape.len().to_le_bytes());
            for length in shape {
                hasher.update(length.to_le_bytes());
            }
            hasher.update(data.len().to_le_bytes());
            let mut bytes = [0; 4096];
            for values in data.chunks(bytes.len() / 4) {
                for (four, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                    *four = value.to_le_bytes();
                }
                hasher.update(&bytes[..values.len() * 4]);
            }
        }
        for name in outputs {
            text(&mut hasher, name);
        }
        Self(hasher.finalize().into())
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<Vec<Tensor>>> for Bytes {
    fn weight(&self, _: &Key, outputs: &Arc<Vec<Tensor>>) -> u64 {
        /// What an entry takes beside its values, about.
        const ENTRY: usize = 256;
        let tensors =
            outputs.iter().map(|one| 4 * one.data.len() + one.name.len() + 8 * one.shape.len() + ENTRY);
        tensors.sum::<usize>() as u64 + ENTRY as u64
    }
}

/// Answers of all models, bounded by their bytes.
pub(crate) struct ResultCache(Cache<Key, Arc<Vec<Tensor>>, Bytes>);

impl ResultCache {
    /// `None` where there is no room for anything.
    pub(crate) fn new(bytes_max: u64) -> Option<Self> {
        /// For the cache's own tables only: an answer of PAT.
        const ANSWER: u64 = 4096;
        let answers = usize::try_from(bytes_max / ANSWER).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        (bytes_max > 0).then(|| Self(Cache::with_weighter(answers, bytes_max, Bytes)))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Vec<Tensor>>> {
        self.0.get(key)
    }

    pub(crate) fn put(&self, key: Key, outputs: Vec<Tensor>) {
        self.0.insert(key, Arc::new(outputs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { name: "x".to_owned(), shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn the_key_is_the_whole_question() {
        let key = |manifest: &str, input: Tensor, outputs: &[&str]| {
            Key::of(manifest, &[input], outputs.iter().copied())
        };
        let week: Vec<f32> = (0..10_080_u16).map(f32::from).collect();
        let same = key("m", x(&[1, 10_080], &week), &["y"]);
        assert_eq!(same, key("m", x(&[1, 10_080], &week), &["y"]));
        // Every single value counts, not only length, first and last.
        for at in [0, 1, 5_000, 10_078, 10_079] {
            let mut other = week.clone();
            other[at] += 1.0;
            assert_ne!(same, key("m", x(&[1, 10_080], &other), &["y"]), "{at}");
        }
        assert_ne!(same, key("n", x(&[1, 10_080], &week), &["y"]));
        assert_ne!(same, key("m", x(&[2, 5_040], &week), &["y"]));
        assert_ne!(same, key("m", x(&[1, 10_080], &week), &["y", "z"]));
        assert_ne!(key("m", x(&[1], &[0.0]), &["y"]), key("m", x(&[1], &[-0.0]), &["y"]));
    }

    #[test]
    fn it_holds_at_most_its_bytes() {
        let cache = ResultCache::new(100_000).unwrap();
        for seed in 0..1_000_u16 {
            let input = x(&[1, 1], &[f32::from(seed)]);
            cache.put(
                Key::of("m", std::slice::from_ref(&input), std::iter::empty()),
                vec![x(&[1, 96], &[0.5; 96])],
            );
        }
        assert!((1..=100_000).contains(&cache.0.weight()), "{}", cache.0.weight());
        assert!(ResultCache::new(0).is_none());
    }
}
