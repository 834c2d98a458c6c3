//! Several futures at once, in one task.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use futures_lite::future;

/// Waits for all, and gives what they gave, in their order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    future::poll_fn(|context| {
        let mut all_done = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match Pin::new(future).poll(context) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().map(|(_, output)| output.expect("all of them are done")).collect()
}
