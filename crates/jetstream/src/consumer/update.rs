//! What an update may change (jetstream.md 3.2, nats-server 2.15.1).

use super::config::Config;
use crate::error::ApiError;

/// Refuses a change that only a new consumer can have. Both are filled in and checked.
///
/// # Errors
/// 10012 with the name of what can not be updated; 10013 for another deliver subject while `bound`,
/// that is, while somebody listens to the old one.
pub(crate) fn check(old: &Config, new: &Config, bound: bool) -> Result<(), ApiError> {
    let fixed = [
        (old.deliver_policy != new.deliver_policy, "deliver policy"),
        (old.mem_storage != new.mem_storage, "storage type"),
        (old.direct != new.direct, "direct"),
        (old.sourcing != new.sourcing, "sourcing"),
        (old.opt_start_seq != new.opt_start_seq, "start sequence"),
        (old.opt_start_time != new.opt_start_time, "start time"),
        (old.ack_policy != new.ack_policy, "ack policy"),
        (old.replay_policy != new.replay_policy, "replay policy"),
        (old.idle_heartbeat != new.idle_heartbeat, "heart beats"),
        (old.flow_control != new.flow_control, "flow control"),
    ];
    if let Some((_, what)) = fixed.into_iter().find(|(changed, _)| *changed) {
        return refuse(format!("{what} can not be updated"));
    }
    match (old.is_pull(), new.is_pull()) {
        (true, false) => return refuse("can not update pull consumer to push based".to_owned()),
        (false, true) => return refuse("can not update push consumer to pull based".to_owned()),
        _ => {}
    }
    // A mirror or source that asks anew does not listen to the old one, whoever else does.
    if old.deliver_subject != new.deliver_subject && bound && !new.sourcing {
        return Err(ApiError::ConsumerNameExist);
    }
    if old.max_waiting != new.max_waiting {
        return refuse("max waiting can not be updated".to_owned());
    }
    Ok(())
}

fn refuse(err: String) -> Result<(), ApiError> {
    Err(ApiError::ConsumerCreate { err: err.into() })
}
