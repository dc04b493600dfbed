//! What is done to the store and its model.

#[derive(Clone, Copy, Debug)]
pub(crate) enum ModelWhen {
    Now,
    In(u64),
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Push { level: u8, bytes: usize, when: ModelWhen },
    Claim { worker: u32 },
    Arm { nth: usize, timeout: u64 },
    Settle { nth: usize, how: How },
    SettleStale { nth: usize, how: How },
    Advance { by: u64, most: Option<usize> },
    Cancel { id: u64 },
    Take { id: u64 },
    Requeue { nth: usize },
    Purge,
    TakeReady,
    TakeDelayed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Done,
    Cancel,
    HandBack,
    Retry(ModelWhen),
    Snooze(ModelWhen),
    Bury,
}
