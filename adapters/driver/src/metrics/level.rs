//! What is held at the moment, over all that hold something of the same.

use metrics::Gauge;

/// One holder's part of a gauge.
#[derive(Debug)]
pub(super) struct Level {
    gauge: Gauge,
    held: usize,
}

impl Level {
    pub(super) const fn new(gauge: Gauge) -> Self {
        Self { gauge, held: 0 }
    }

    pub(super) fn set(&mut self, held: usize) {
        if held > self.held {
            self.gauge.increment((held - self.held) as f64);
        } else if held < self.held {
            self.gauge.decrement((self.held - held) as f64);
        }
        self.held = held;
    }
}

impl Drop for Level {
    /// Who is gone holds nothing.
    fn drop(&mut self) {
        self.set(0);
    }
}
