//! How long the active controller has written nothing: `metadata.max.idle.interval.ms` (KIP-835).

/// Time since the last record.
pub(crate) struct Idleness {
    /// None where idleness is no matter.
    interval_ms: Option<i64>,
    since_ms: i64,
}

impl Idleness {
    /// With 0, a controller may be idle for ever.
    pub(crate) fn new(interval_ms: i32) -> Self {
        Self { interval_ms: Some(i64::from(interval_ms)).filter(|ms| *ms > 0), since_ms: 0 }
    }

    /// Something was written, or a controller takes over.
    pub(super) fn begin(&mut self, now_ms: i64) {
        self.since_ms = now_ms;
    }

    /// When something has to be written, if nothing is until then.
    pub(super) fn due_ms(&self) -> Option<i64> {
        self.interval_ms.map(|interval_ms| self.since_ms.saturating_add(interval_ms))
    }

    /// Whether it is that late.
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        self.due_ms().is_some_and(|due_ms| now_ms >= due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_ends_an_interval_after_the_last_record() {
        let mut idleness = Idleness::new(500);
        idleness.begin(1000);
        assert_eq!((idleness.is_over(1499), idleness.is_over(1500)), (false, true));
        idleness.begin(1200);
        assert_eq!(idleness.due_ms(), Some(1700));
        let mut never = Idleness::new(0);
        never.begin(0);
        assert_eq!((never.due_ms(), never.is_over(i64::MAX)), (None, false));
    }
}
