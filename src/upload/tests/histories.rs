//! Random histories against the simplest model there is: the bytes that a client has sent.

use super::life::*;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Append, Appended, UploadError};
use proptest::prelude::*;
use tokio::sync::oneshot;

/// What happens to an upload.
#[derive(Clone, Debug)]
enum Step {
    /// A request of `count` bytes in pieces of `piece`, which ends like `end`.
    Append { count: u64, piece: usize, end: Ending },
    /// A request at a place where the upload doesn't go on.
    Astray { ahead: u64 },
    /// The client asks where to go on.
    Look,
    /// The server is killed at once, and started again.
    Kill,
    /// The machine loses power after everything was idle.
    PowerCut,
    /// The client gives up.
    Terminate,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Well,
    Broken,
    /// The request vanishes once its bytes are read.
    Vanishing,
    /// A newer request looks at the upload meanwhile.
    Overtaken,
    /// The server is killed once its bytes are read.
    Killed,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        4 => Just(Ending::Well),
        2 => Just(Ending::Broken),
        2 => Just(Ending::Vanishing),
        2 => Just(Ending::Overtaken),
        2 => Just(Ending::Killed),
    ];
    let append = (0..2_500_000u64, prop_oneof![500..2_000usize, 30_000..200_000usize], end);
    let step = prop_oneof![
        12 => append.prop_map(|(count, piece, end)| Step::Append { count, piece, end }),
        1 => (1..1_000u64).prop_map(|ahead| Step::Astray { ahead }),
        2 => Just(Step::Look),
        2 => Just(Step::Kill),
        2 => Just(Step::PowerCut),
        1 => Just(Step::Terminate),
    ];
    prop::collection::vec(step, 1..12)
}

/// What the client knows.
struct Client {
    content: Vec<u8>,
    upload: UploadRecord,
    declared: bool,
    /// Everything before was acknowledged since the machine's last start.
    acknowledged: u64,
    /// No byte behind was ever sent.
    sent: u64,
    ended: bool,
}

impl Client {
    fn id(&self) -> UploadId {
        self.upload.id
    }

    /// Checks all promises about the upload as it stands.
    async fn check(&mut self, life: &Life) -> Option<u64> {
        let record = match life.uploads.look(self.id()).await {
            Ok(record) => record,
            Err(UploadError::Gone(_)) if self.ended => return None,
            other => panic!("{other:?}"),
        };
        assert!(!self.ended, "an upload that was given up came back");
        let offset = record.received.end().0;
        assert!(offset >= self.acknowledged, "{offset} < {} acknowledged", self.acknowledged);
        assert!(offset <= self.sent, "{offset} bytes, but only {} were sent", self.sent);
        self.acknowledged = offset;
        let right = &self.content[..offset as usize];
        if record.state == UploadState::Finished {
            assert_eq!(offset, self.content.len() as u64);
            assert!(life.original(&record) == right, "the original differs");
        } else {
            assert_eq!(record.state, UploadState::Partial);
            assert!(life.blob(self.id(), offset) == right, "a byte before {offset} is wrong");
        }
        Some(offset)
    }

    /// Sends one request; returns whether the server is to be killed.
    async fn append(&mut self, life: &Life, count: u64, piece: usize, end: Ending) -> bool {
        let Some(at) = self.check(life).await else { return false };
        let length = self.content.len() as u64;
        // Looking at a finished upload disturbs nobody, so its hanging body would just hang.
        let end = if at == length && matches!(end, Ending::Overtaken) { Ending::Well } else { end };
        let until = length.min(at + count);
        self.sent = self.sent.max(until);
        let bytes = pieces(&self.content[at as usize..until as usize], piece);
        let declared = (!self.declared).then_some(ByteCount(length));
        let append = Append { declared, ..to(self.id(), at) };
        let (told, all_read) = oneshot::channel();
        let body = body(
            bytes,
            match end {
                Ending::Well => Then::End,
                Ending::Broken => Then::Break,
                _ => Then::Hang(told),
            },
        );
        let appending = life.uploads.append(append, body);
        match end {
            Ending::Well | Ending::Broken => self.hear(until, appending.await),
            Ending::Vanishing | Ending::Killed => {
                tokio::select! {
                    ended = appending => self.hear(until, ended),
                    _ = all_read => (),
                }
            }
            Ending::Overtaken => {
                let overtaking = async {
                    // An error means that the request has ended by itself.
                    let _ = all_read.await;
                    life.uploads.look(append.id).await.expect("it is open").received.end().0
                };
                let (ended, offset) = tokio::join!(appending, overtaking);
                assert_eq!(offset, until, "what was read before the look is counted");
                self.hear(until, ended);
            }
        }
        self.declared = life.uploads.peek(append.id).expect("it is open").length.is_some();
        matches!(end, Ending::Killed)
    }

    fn hear(&mut self, until: u64, ended: Result<Appended, UploadError>) {
        let offset = match ended {
            Ok(Appended { offset, finished, .. }) => {
                assert_eq!(finished, offset.0 == self.content.len() as u64);
                offset
            }
            Err(UploadError::BodyBroken { offset } | UploadError::Taken { offset }) => offset,
            Err(UploadError::Finished) => ByteOffset(until),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(offset.0, until, "everything that was read is kept");
        self.acknowledged = until;
    }
}

fn run(length: u64, deferred: bool, encrypts: bool, steps: Vec<Step>) {
    let mut house = House::new();
    if encrypts {
        house.encrypts();
    }
    let upload = house.live(async |life: &Life| life.create((!deferred).then_some(length)).await);
    let mut client = Client {
        content: content(length),
        ended: false,
        declared: !deferred,
        acknowledged: 0,
        sent: 0,
        upload,
    };
    let mut steps = steps.into_iter().peekable();
    while steps.peek().is_some() {
        // Whether the power went, not only the process.
        let power_cut = house.live(async |life: &Life| {
            client.check(life).await;
            for step in steps.by_ref() {
                match step {
                    Step::Append { count, piece, end } => {
                        if client.append(life, count, piece, end).await {
                            return false;
                        }
                    }
                    Step::Astray { ahead } => {
                        let Some(at) = client.check(life).await else { continue };
                        let bytes = &[7; 9];
                        let astray = life.append(client.id(), at + ahead, bytes).await;
                        let told = matches!(&astray, Err(UploadError::OffsetMismatch { actual })
                            if actual.0 == at);
                        assert!(told, "{astray:?}");
                    }
                    Step::Look => {
                        client.check(life).await;
                    }
                    Step::Kill => return false,
                    Step::PowerCut => return true,
                    Step::Terminate => {
                        let gone = life.uploads.terminate(client.id()).await;
                        assert!(gone.is_ok() || client.ended, "{gone:?}");
                        client.ended = true;
                    }
                }
            }
            false
        });
        if power_cut {
            house.boot.push('+');
            let finished = client.acknowledged == length && length > 0 && !client.ended;
            // What an intermediate answer said counts only while the machine runs.
            client.acknowledged = if finished { length } else { 0 };
        }
    }
    house.live(async |life: &Life| client.check(life).await);
}

proptest! {
    #![proptest_config(cases(32))]

    /// Whatever happens, an offset never lies, what was acknowledged stays, and a finished
    /// original is what was sent.
    #[test]
    fn offsets_never_lie(
        length in 1..4_000_000u64,
        deferred: bool,
        encrypts: bool,
        steps in steps(),
    ) {
        run(length, deferred, encrypts, steps);
    }
}
