//! Rows of several requests as one execution, and its outputs as theirs again.

use ports::{Cause, Tensor};

/// The inputs of `requests`, row after row. Each has the same inputs in the same order, with rows of the same shape.
pub(crate) fn together(requests: Vec<Vec<Tensor>>) -> Vec<Tensor> {
    let mut requests = requests.into_iter();
    let Some(mut whole) = requests.next() else { return Vec::new() };
    let rest: Vec<_> = requests.collect();
    for (at, tensor) in whole.iter_mut().enumerate() {
        let parts = || rest.iter().filter_map(|request| request.get(at));
        tensor.data.reserve_exact(parts().map(|part| part.data.len()).sum());
        for part in parts() {
            tensor.data.extend_from_slice(&part.data);
            if let (Some(rows), Some(more)) = (tensor.shape.first_mut(), part.shape.first()) {
                *rows += more;
            }
        }
    }
    whole
}

/// The outputs of each request, which brought `rows` rows, in that order.
pub(crate) fn apart(outputs: Vec<Tensor>, rows: &[usize]) -> Result<Vec<Vec<Tensor>>, Cause> {
    if rows.len() == 1 {
        return Ok(vec![outputs]);
    }
    let total: usize = rows.iter().sum();
    let mut answers: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::with_capacity(outputs.len())).collect();
    for Tensor { name, shape, data } in outputs {
        if shape.first() != Some(&total) || !data.len().is_multiple_of(total) {
            return Err(format!("the output {name} does not have a row for each of the {total} rows").into());
        }
        let width = data.len() / total;
        let mut first = 0;
        for (answer, rows) in answers.iter_mut().zip(rows) {
            let data = data[first * width..(first + rows) * width].to_vec();
            let shape = std::iter::once(*rows).chain(shape[1..].iter().copied()).collect();
            answer.push(Tensor { name: name.clone(), shape, data });
            first += rows;
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { name: name.to_owned(), shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn what_is_put_together_comes_apart_as_it_was() {
        let one = vec![tensor("x", &[1, 2], &[1.0, 2.0]), tensor("z", &[1], &[9.0])];
        let two = vec![tensor("x", &[2, 2], &[3.0, 4.0, 5.0, 6.0]), tensor("z", &[2], &[8.0, 7.0])];
        let whole = together(vec![one.clone(), two.clone()]);
        assert_eq!(
            whole,
            [tensor("x", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), tensor("z", &[3], &[9.0, 8.0, 7.0])]
        );
        assert_eq!(apart(whole, &[1, 2]).unwrap(), [one, two]);
    }

    #[test]
    fn an_output_without_a_row_for_each_row_is_an_error() {
        for shape in [&[2, 3][..], &[][..], &[6][..]] {
            let outputs = vec![tensor("y", shape, &[0.0; 6])];
            let error = apart(outputs, &[1, 2]).unwrap_err().to_string();
            assert!(error.contains("the output y"), "{error}");
        }
    }
}
