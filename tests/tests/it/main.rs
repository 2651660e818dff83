//! The tests over the whole house: one module per question.

// Under `cfg(test)`, so that the helpers between the tests may `expect` as the tests do.
#[cfg(test)]
mod dependency_rule;
