//! What may happen in a history, and how often.

use proptest::prelude::*;

/// Uploads that a history begins at most.
pub(super) const UPLOADS_MAX: usize = 8;

const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Create { kind: Kind, length: usize },
    Append { which: usize, count: usize, sum: Sum, end: Ending },
    Put { which: usize, index: u32, how: How },
    Complete { which: usize, sum: Sum },
    Join { first: usize, second: usize },
    Look { which: usize },
    Terminate { which: usize },
    Wait { ms: i64 },
    Kill,
    PowerCut { cuts_files: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    /// Of a length that is told with its first bytes.
    Deferred,
    /// To be joined with others.
    Part,
    Numbered,
    /// What parts are joined to.
    Final,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    None,
    Right,
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Well,
    Broken,
    /// The request vanishes once its bytes are read.
    Vanishing,
    /// The server is killed then.
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Well,
    Broken,
    /// With other bytes than were acknowledged.
    Other,
    WrongSum,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        3 => Just(Kind::Whole),
        2 => Just(Kind::Deferred),
        4 => Just(Kind::Part),
        3 => Just(Kind::Numbered),
    ];
    let sum = || prop_oneof![4 => Just(Sum::None), 2 => Just(Sum::Right), 1 => Just(Sum::Wrong)];
    let end = prop_oneof![
        6 => Just(Ending::Well),
        2 => Just(Ending::Broken),
        2 => Just(Ending::Vanishing),
        1 => Just(Ending::Killed),
    ];
    let how = prop_oneof![
        6 => Just(How::Well),
        1 => Just(How::Broken),
        1 => Just(How::Other),
        1 => Just(How::WrongSum),
    ];
    let which = 0..UPLOADS_MAX;
    let ms = prop_oneof![Just(HOUR_MS / 2), Just(2 * HOUR_MS), Just(25 * HOUR_MS)];
    let step = prop_oneof![
        6 => (kind, 1..200_000usize).prop_map(|(kind, length)| Step::Create { kind, length }),
        12 => (which.clone(), 1..150_000usize, sum(), end)
            .prop_map(|(which, count, sum, end)| Step::Append { which, count, sum, end }),
        10 => (which.clone(), 0..4u32, how)
            .prop_map(|(which, index, how)| Step::Put { which, index, how }),
        2 => (which.clone(), sum()).prop_map(|(which, sum)| Step::Complete { which, sum }),
        3 => (which.clone(), which.clone())
            .prop_map(|(first, second)| Step::Join { first, second }),
        3 => which.clone().prop_map(|which| Step::Look { which }),
        1 => which.prop_map(|which| Step::Terminate { which }),
        1 => ms.prop_map(|ms| Step::Wait { ms }),
        2 => Just(Step::Kill),
        3 => any::<bool>().prop_map(|cuts_files| Step::PowerCut { cuts_files }),
    ];
    prop::collection::vec(step, 1..40)
}
