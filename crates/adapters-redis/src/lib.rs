//! What the instances of one deployment share for a short while, kept in Redis.
