//! The page, read back as a document.

#[cfg(test)]
mod document;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod person;
