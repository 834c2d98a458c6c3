//! opendata-buffer
