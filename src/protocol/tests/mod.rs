//! The rules, each under the number of its clause, by raw bytes.
