//! opendata-buffer-sim
