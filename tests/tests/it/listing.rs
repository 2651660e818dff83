//! Listing readings: every page holds what it should while others add and delete.
