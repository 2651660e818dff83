//! Golden vectors: known inputs, and the outputs that an independent implementation computed for them.

use ports::Tensor;

use crate::files::Files;
use crate::manifest::{GoldenCase, Manifest};
use crate::session::Runner;

pub(crate) struct Golden {
    inputs: Vec<Tensor>,
    expected: Vec<(Tensor, f32)>,
}

/// The inputs that are generated and not stored. Each step is `state * 6364136223846793005 + 1442695040888963407` modulo 2^64,
/// from the seed on; a value is the upper 24 bits less 2^23, over 2^22: in [-2, 2) and exact.
pub(crate) fn lcg64(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let upper = i32::try_from(state >> 40).unwrap_or(i32::MAX);
        (upper - (1 << 23)) as f32 / (1 << 22) as f32
    };
    (0..count).map(|_| next()).collect()
}

/// The cases of `manifest`, out of verified files.
pub(crate) fn cases(manifest: &Manifest, files: &Files) -> Result<Vec<Golden>, String> {
    manifest.golden.iter().map(|case| read(case, manifest, files)).collect()
}

fn read(case: &GoldenCase, manifest: &Manifest, files: &Files) -> Result<Golden, String> {
    let mut inputs = Vec::new();
    for (input, signature) in case.inputs.iter().zip(&manifest.inputs) {
        let count = signature.len(case.rows).ok_or("a golden case has too many rows")?;
        let data = match (&input.file, input.lcg64_seed) {
            (Some(path), _) => files.floats(path, count)?,
            (None, seed) => lcg64(seed.unwrap_or_default(), count),
        };
        inputs.push(Tensor { name: input.name.clone(), shape: signature.shape(case.rows), data });
    }
    let mut expected = Vec::new();
    for one in &case.expected {
        let signature = manifest.outputs.iter().find(|output| output.name == one.output);
        let signature = signature.ok_or_else(|| format!("golden: there is no output {}", one.output))?;
        let count = signature.len(case.rows).ok_or("a golden case has too many rows")?;
        let data = files.floats(&one.file, count)?;
        let tensor = Tensor { name: one.output.clone(), shape: signature.shape(case.rows), data };
        expected.push((tensor, one.tolerance));
    }
    Ok(Golden { inputs, expected })
}

/// Runs every case, and says how far off the worst value of each output was.
pub(crate) fn check(
    cases: &[Golden],
    runner: &mut impl Runner,
    outputs: &[String],
) -> Result<String, String> {
    let mut worst: Vec<(&str, f32, f32)> = Vec::new();
    for case in cases {
        let outputs = runner.run(case.inputs.clone(), outputs).map_err(|error| format!("golden: {error}"))?;
        for (expected, tolerance) in &case.expected {
            let output = outputs.iter().find(|output| output.name == expected.name);
            let output = output.ok_or_else(|| format!("golden: no output {}", expected.name))?;
            let deviation = deviation(&output.data, &expected.data);
            // A deviation which is not a number does not fit.
            let fits = deviation <= *tolerance;
            if !fits {
                return Err(format!(
                    "golden: {} is off by {deviation:e}, allowed is {tolerance:e}",
                    expected.name
                ));
            }
            match worst.iter_mut().find(|(name, ..)| *name == expected.name) {
                Some(entry) => *entry = (entry.0, entry.1.max(deviation), entry.2.max(*tolerance)),
                None => worst.push((&expected.name, deviation, *tolerance)),
            }
        }
    }
    let words = worst.iter().map(|(name, deviation, tolerance)| {
        format!("{name}: largest deviation {deviation:e}, tolerance {tolerance:e}")
    });
    Ok(words.collect::<Vec<_>>().join("; "))
}

/// Rows that are all run before, one number of them after the other.
const ROWS_EACH: usize = 8;
/// Values of an input that are run before: no usual request carries more.
const WARM_VALUES_MAX: usize = 1 << 24;

/// The numbers of rows to run before anybody asks: the small ones, above them the powers of two, and the largest.
pub(crate) fn sizes(rows_max: usize, manifest: &Manifest) -> impl Iterator<Item = usize> {
    let fits = |rows: usize| {
        manifest.inputs.iter().all(|input| input.len(rows).is_some_and(|values| values <= WARM_VALUES_MAX))
    };
    let is_wanted = move |rows: &usize| *rows <= ROWS_EACH || rows.is_power_of_two() || *rows == rows_max;
    (1..=rows_max).filter(is_wanted).take_while(move |rows| fits(*rows))
}

/// Runs golden rows once in each of these numbers: the first run of a size is slow, and no client should be the one to see that.
pub(crate) fn warm(
    sizes: impl Iterator<Item = usize>,
    cases: &[Golden],
    runner: &mut impl Runner,
    outputs: &[String],
) -> Result<(), String> {
    let Some(case) = cases.first() else { return Ok(()) };
    for rows in sizes {
        let inputs = case.inputs.iter().map(|input| {
            let mut shape = input.shape.clone();
            let length = shape.first().map_or(0, |known| input.data.len() / known.max(&1) * rows);
            if let Some(first) = shape.first_mut() {
                *first = rows;
            }
            let data = input.data.iter().copied().cycle().take(length).collect();
            Tensor { name: input.name.clone(), shape, data }
        });
        let answer = runner.run(inputs.collect(), outputs);
        answer.map_err(|error| format!("warm-up with {rows} rows: {error}"))?;
    }
    Ok(())
}

fn deviation(got: &[f32], expected: &[f32]) -> f32 {
    if got.len() != expected.len() {
        return f32::NAN;
    }
    let differences = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // `f32::max` would swallow a NaN.
    differences.fold(0.0, |worst, one| if one.is_nan() || worst.is_nan() { f32::NAN } else { worst.max(one) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_stated_values() {
        // 1 * 6364136223846793005 + 1442695040888963407 = 7806831264735756412; its upper 24 bits are 7100271.
        assert_eq!(lcg64(1, 1), [(7_100_271 - 8_388_608) as f32 / 4_194_304.0]);
        assert!(lcg64(7, 10_000).iter().all(|value| (-2.0..2.0).contains(value)));
    }

    #[test]
    fn every_size_that_is_used_is_near_one_that_was_run() {
        let manifest = Manifest::parse(include_bytes!("../../../models/pat-s/manifest.json"), None).unwrap();
        let sizes = |rows_max| super::sizes(rows_max, &manifest).collect::<Vec<_>>();
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(6), [1, 2, 3, 4, 5, 6]);
        assert_eq!(sizes(40), [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 40]);
        // A week of minutes a row: 2^24 values are 1,664 of them.
        assert_eq!(sizes(4_096).last(), Some(&1_024));
    }

    #[test]
    fn a_value_that_is_not_a_number_is_a_deviation() {
        assert!(deviation(&[f32::NAN, 1.0], &[0.0, 1.0]).is_nan());
        assert!(deviation(&[1.0], &[1.0, 1.0]).is_nan());
        assert!((deviation(&[1.0, 2.5], &[1.0, 2.0]) - 0.5).abs() < f32::EPSILON);
    }
}
