//! Waiting for a flag that is raised once.

use tokio::sync::watch;

/// Returns when the flag is true; never if its sender goes without having raised it.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|raised| *raised).await.is_err() {
        std::future::pending().await
    }
}

/// Returns when the flag is false; never if its sender goes first.
pub(crate) async fn lowered(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|raised| !*raised).await.is_err() {
        std::future::pending().await
    }
}

/// Returns when the connection's state is one that `wanted` names.
pub(crate) async fn reached(
    state: &mut watch::Receiver<crate::event::ConnState>,
    wanted: impl Fn(&crate::event::ConnState) -> bool,
) {
    if state.wait_for(|state| wanted(state)).await.is_err() {
        std::future::pending().await
    }
}
