//! stub
/// stub
#[derive(Debug)]
pub struct LocalDirectory;
