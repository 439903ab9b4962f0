//! Serves the directory's reads over HTTP, in a container.

fn main() {}
