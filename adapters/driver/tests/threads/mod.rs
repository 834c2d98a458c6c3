//! A runtime of plain threads, for tests: one for each task, one for each timer that is waited for.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Instant as StdInstant;

use buffer_driver::buffer_core::Instant;
use buffer_driver::{BoxFuture, Runtime};
use event_listener::{Event, EventListener};
use futures_lite::future::block_on;

#[derive(Debug)]
pub(crate) struct Threads {
    origin: StdInstant,
}

impl Threads {
    pub(crate) fn start() -> Arc<dyn Runtime> {
        Arc::new(Self { origin: StdInstant::now() })
    }
}

impl Runtime for Threads {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(|| block_on(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        thread::spawn(work);
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(Alarm { until: self.origin + deadline.since_origin(), ringing: None })
    }

    fn entropy(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

/// A timer whose thread starts when somebody waits: most timers are dropped before.
struct Alarm {
    until: StdInstant,
    ringing: Option<Pin<Box<EventListener>>>,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let left = self.until.saturating_duration_since(StdInstant::now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        let ringing = self.ringing.get_or_insert_with(|| {
            let event = Arc::new(Event::new());
            let listener = event.listen();
            thread::spawn(move || {
                thread::sleep(left);
                event.notify(usize::MAX);
            });
            Box::pin(listener)
        });
        ringing.as_mut().poll(context)
    }
}
