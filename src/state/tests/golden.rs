//! Records as they lie in databases out there: what was written once is read for ever.

use super::*;
use crate::ids::{DeliveryId, GrantId};
use crate::model::accept::Accept;
use crate::model::access::{Bounds, Role};
use crate::model::extra::{Chosen, ExtraKind, Pictures, Thumbnail};
use crate::model::figures::Figures;
use crate::model::hook::{DeliveryState, HookEvent, Whereabouts};
use crate::model::job::{JobState, PosterSource, Stage, StageState, Task};
use crate::model::keep::Watch;
use crate::model::manifest::Picture;
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::{RenditionPlan, RenditionState, SoundPurpose};
use crate::model::text::{Chapter, TextKind, TextTrack};
use crate::model::upkeep::{Action, AskedBy, Kind, Report};
use crate::model::video::{SoundFacts, SourceFacts, Warning};
use crate::state::codec::{VALUE_BYTES_MAX, decode, encode};
use std::fmt::Debug;

fn bytes(last: u8) -> [u8; 16] {
    let mut bytes = [0x11; 16];
    bytes[0..8].copy_from_slice(&[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x7a, 0xbc]);
    bytes[8] = 0x9d;
    bytes[15] = last;
    bytes
}

fn upload() -> UploadRecord {
    let mut written = up_to(4_194_304);
    written.insert(ByteOffset(8_388_608), ByteOffset(9_000_000));
    UploadRecord {
        protocol: Protocol::Form,
        state: UploadState::Finishing,
        epoch: Epoch(7),
        received: Received {
            boot: "0a1b".to_owned(),
            written,
            durable: up_to(1_048_576),
            grows: false,
        },
        metadata: Some("filename ZmlsbS5tb3Y=,is_confidential".to_owned()),
        session: Some("holiday".to_owned()),
        ended_at: Some(NOW.plus_ms(5)),
        filename: "Grüße \"🎬\".mov".to_owned(),
        ..upload_record(UploadId::from_bytes(bytes(1)), VideoId::from_bytes(bytes(2)), 9_000_000)
    }
}

/// A complete part of others, which has no video.
fn upload_part() -> UploadRecord {
    UploadRecord {
        video: None,
        protocol: Protocol::Tus,
        state: UploadState::Partial,
        concat: Some(Concat::Partial),
        ended_at: None,
        received: Received {
            boot: "0a1b".to_owned(),
            written: up_to(9_000_000),
            durable: up_to(9_000_000),
            grows: false,
        },
        ..upload()
    }
}

/// What is made of parts, one of them twice, before it is joined and its length known.
fn upload_final() -> UploadRecord {
    let parts = [5, 6, 5].map(|last| UploadId::from_bytes(bytes(last)));
    let header = format!("final;/files/{} /files/{} https://a.example/files/x", parts[0], parts[1]);
    UploadRecord {
        video: upload().video,
        length: None,
        received: Received { boot: "0a1b".to_owned(), ..Received::default() },
        concat: Some(Concat::Final { header, parts: parts.to_vec() }),
        ..upload_part()
    }
}

/// An upload that comes in numbered parts, with the sum that its client told.
fn upload_in_chunks() -> UploadRecord {
    let chunks = Chunks { size: ByteCount(4_194_304), sha256: Some("ab".repeat(32)) };
    UploadRecord {
        protocol: Protocol::Chunks,
        state: UploadState::Partial,
        ended_at: None,
        metadata: None,
        chunks: Some(chunks),
        ..upload()
    }
}

/// One whose file tells how far it has come.
fn upload_that_grows() -> UploadRecord {
    let received = Received { grows: true, ..upload_part().received };
    UploadRecord { received, concat: None, video: upload().video, ..upload_part() }
}

fn rendition() -> RenditionRecord {
    RenditionRecord {
        plan: RenditionPlan {
            width: 1280,
            height: 720,
            frame_rate: 29.97,
            bandwidth_cap: 3_000_000,
            ..RenditionPlan::sample("720p")
        },
        state: RenditionState::Ready,
        generation: Epoch(2),
        codecs: Some("avc1.64001f".to_owned()),
        bandwidth: Some(2_750_000),
    }
}

fn video() -> VideoRecord {
    VideoRecord {
        job: Some(JobId::from_bytes(bytes(3))),
        state: VideoState::Failed,
        playable: true,
        visibility: Visibility::Private,
        description: "Two lines\nof text".to_owned(),
        tags: vec!["sea".to_owned(), "sun".to_owned()],
        session: Some("holiday".to_owned()),
        sha256: Some("ab".repeat(32)),
        uploaded_at: Some(NOW.plus_ms(1)),
        playable_at: Some(NOW.plus_ms(2)),
        ready_at: Some(NOW.plus_ms(3)),
        facts: Some(SourceFacts {
            container: "mov,mp4".to_owned(),
            duration: 12.5,
            width: 1920,
            height: 1080,
            rotation: 90,
            frame_rate: 29.97,
            video_codec: Some("h264".to_owned()),
            audio_codec: Some("aac".to_owned()),
            bit_rate: 8_000_000,
            ..SourceFacts::default()
        }),
        poster: Some(Picture { width: 640, height: 360 }),
        renditions: vec![rendition()],
        warnings: vec![Warning {
            code: "no-sound".to_owned(),
            detail: "The file has no sound.".to_owned(),
        }],
        problem: Some(Problem::new(ProblemCode::TimedOut, "It took too long.")),
        ..video_record(VideoId::from_bytes(bytes(2)), UploadId::from_bytes(bytes(1)))
    }
}

/// A video with all that there is to look at.
fn video_with_pictures() -> VideoRecord {
    let picture = || Picture { width: 160, height: 90 };
    let thumbnails = vec![Thumbnail { time: 1.25, picture: picture() }];
    let pictures = Pictures { thumbnails, storyboard: Some(picture()), preview: Some(picture()) };
    VideoRecord { pictures, ..video() }
}

/// A video with two sounds, one of which can be taken as it is.
fn video_with_sounds() -> VideoRecord {
    let sound = |language: &str, copy_rate| SoundFacts {
        language: language.to_owned(),
        label: language.to_owned(),
        purpose: SoundPurpose::Main,
        channels: 2,
        copy_rate,
    };
    let sounds = vec![sound("de", Some(131_072)), sound("en", None)];
    let facts = video().facts.map(|facts| SourceFacts { sounds, ..facts });
    VideoRecord { facts, ..video() }
}

/// A video whose poster somebody has chosen.
fn video_with_choice() -> VideoRecord {
    let picture = Picture { width: 160, height: 90 };
    let chosen = Some(Chosen { picture, time: Some(2.5), version: 3 });
    VideoRecord { chosen, small_jobs: vec![JobId::from_bytes(bytes(6))], ..video() }
}

/// An event that a webhook hasn't taken yet.
fn delivery() -> DeliveryRecord {
    DeliveryRecord {
        id: DeliveryId::from_bytes(bytes(7)),
        target: [1, 2, 3, 4, 5, 6, 7, 255],
        event: HookEvent::VideoFailed,
        subject: outbox::about(&video(), Whereabouts::Here),
        at: NOW,
        state: DeliveryState::Pending,
        attempts: 2,
        next_at: NOW.plus_ms(15_000),
        give_up_at: NOW.plus_ms(86_400_000),
        ended_at: None,
        status: Some(503),
        error: Some("it answered 503".to_owned()),
        grant: None,
    }
}

/// An upload grant that has begun its upload.
fn grant() -> GrantRecord {
    let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let url = "https://app.example/told".to_owned();
    GrantRecord {
        id: GrantId::from_bytes(bytes(9)),
        hash: [0xab; 32],
        owner: owner(),
        token: Some(TokenId::from_bytes(bytes(4))),
        metadata: vec![("title".to_owned(), "Déjà vu".to_owned())],
        bounds: Bounds { max_size: Some(ByteCount(9_000_000)), accept: None },
        created_at: NOW,
        expires_at: NOW.plus_ms(3_600_000),
        upload: Some(UploadId::from_bytes(bytes(1))),
        video: Some(VideoId::from_bytes(bytes(2))),
        used_at: Some(NOW.plus_ms(1)),
        parts: 2,
        ended_at: None,
        remove_at: NOW.plus_ms(86_400_000),
        callback: Some(Callback { url, secret, called: false }),
    }
}

fn granted_upload() -> UploadRecord {
    UploadRecord { grant: Some(grant().id), ..upload() }
}

fn granted_video() -> VideoRecord {
    VideoRecord { grant: Some(grant().id), ..video() }
}

/// What the callback of a grant is to be told.
fn callback_delivery() -> DeliveryRecord {
    let subject = outbox::about(&granted_video(), Whereabouts::Here);
    DeliveryRecord { target: CALLBACKS, grant: Some(grant().id), subject, ..delivery() }
}

/// What a cleaning found.
fn cleanup() -> CleanupRecord {
    let mut report = Report::begin(AskedBy::Schedule, false, NOW);
    report.add(Kind::WorkLeftover, Action::Removed, "one".to_owned(), 7, "");
    report.add(Kind::StuckJob, Action::Queued, "two".to_owned(), 0, "It was stuck.");
    report.fault("a file couldn't be looked at".to_owned());
    report.finished_at = NOW.plus_ms(9);
    CleanupRecord { report }
}

/// A deleted video.
fn trashed() -> TrashRecord {
    let video = VideoRecord { upload: None, ..video() };
    TrashRecord { video, deleted_at: NOW.plus_ms(6), until: NOW.plus_ms(604_800_006) }
}

fn job() -> JobRecord {
    let video = VideoId::from_bytes(bytes(2));
    let mut job = JobRecord::new(JobId::from_bytes(bytes(3)), video, owner(), NOW);
    job.state = JobState::Running;
    job.epoch = Epoch(2);
    job.attempt = 2;
    job.priority = -1;
    job.lease_until = NOW.plus_ms(30_000);
    job.started_at = Some(NOW);
    job.finished_at = Some(NOW);
    job.stages[0] = StageRecord {
        stage: Stage::Probe,
        state: StageState::Done,
        attempt: 2,
        started_at: Some(NOW),
        finished_at: Some(NOW.plus_ms(9)),
    };
    job.problem = Some(Problem::new(ProblemCode::WorkerCrashed, "It stopped."));
    job
}

/// A small job; it has no stages.
fn small_job() -> JobRecord {
    let video = VideoId::from_bytes(bytes(2));
    let task = Task::Poster { of: PosterSource::Time { seconds: 2.5 } };
    JobRecord::small(JobId::from_bytes(bytes(6)), video, owner(), task, NOW)
}

/// A job that has its turn, and was set back.
fn job_set_back() -> JobRecord {
    JobRecord {
        state: JobState::Queued,
        turn: 193,
        set_back: true,
        in_vain: 2,
        reached: 31,
        ..job()
    }
}

/// A job whose process was killed.
fn job_killed() -> JobRecord {
    JobRecord { kills: 3, ..job_set_back() }
}

/// A job whose process broke down over a picture.
fn job_with_less() -> JobRecord {
    JobRecord { left_out: vec![ExtraKind::Storyboard], ..job() }
}

fn token() -> TokenRecord {
    TokenRecord {
        id: TokenId::from_bytes(bytes(4)),
        hash: std::array::from_fn(|at| at as u8 * 7),
        role: Role::Uploader,
        owner: owner(),
        name: Some("camera".to_owned()),
        scopes: vec!["upload".to_owned()],
        created_at: NOW,
        expires_at: Some(NOW.plus_ms(60_000)),
        bounds: Bounds::default(),
        max_uploads: None,
        uploads_begun: 0,
        used_at: None,
    }
}

fn token_with_limits() -> TokenRecord {
    let accept = Accept::parse(["audio/*"]);
    TokenRecord {
        scopes: vec!["upload:create".to_owned()],
        bounds: Bounds { max_size: Some(ByteCount(1 << 30)), accept },
        max_uploads: Some(3),
        uploads_begun: 1,
        used_at: Some(NOW.plus_ms(5_000)),
        ..token()
    }
}

fn user() -> UserRecord {
    UserRecord {
        id: UserId::from_bytes(bytes(6)),
        name: Owner("acme/ann".to_owned()),
        role: Role::Uploader,
        password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(),
        created_at: NOW,
        disabled: false,
        epoch: Epoch(0),
        seen_at: None,
    }
}

fn disabled_user() -> UserRecord {
    let seen_at = Some(NOW.plus_ms(1));
    UserRecord { disabled: true, epoch: Epoch(3), seen_at, ..user() }
}

fn session(holder: Holder) -> SessionRecord {
    let (id, ends_at) = (SessionId::from_bytes(bytes(7)), NOW.plus_ms(60_000));
    SessionRecord { id, holder, created_at: NOW, ends_at, browser: None, system: None }
}

fn bounded_upload() -> UploadRecord {
    let token = token_with_limits();
    UploadRecord { token: Some(token.id), bounds: token.bounds, ..upload() }
}

fn part() -> PartRecord {
    PartRecord {
        upload: UploadId::from_bytes(bytes(1)),
        index: 9_999,
        size: ByteCount(8_388_608),
        sha256: std::array::from_fn(|at| at as u8 * 5),
        at: NOW,
    }
}

fn figures() -> Figures {
    Figures {
        uploads: 3,
        uploaded_bytes: 5_000_000_000,
        uploads_lost: 1,
        films_done: 2,
        films_failed: 1,
        film_seconds: 61.5,
        work_seconds: 30.25,
        ..Figures::default()
    }
}

fn login_code() -> LoginCode {
    LoginCode { token: TokenId::from_bytes(bytes(4)), expires_at: NOW.plus_ms(900_000) }
}

use crate::ids::{SessionId, TokenId, UserId};
use crate::model::consent::Objection;
use crate::model::estimate::{Load, Paces};

/// An upload with the fields that have come since the first of them.
fn draft_upload() -> UploadRecord {
    UploadRecord {
        protocol: Protocol::Draft,
        sha256: Some("0a".repeat(32)),
        length: None,
        ..upload_record(UploadId::from_bytes(bytes(1)), VideoId::from_bytes(bytes(2)), 9_000_000)
    }
}

/// One that was ended because of what its first bytes are.
fn refused_upload() -> UploadRecord {
    let stranger = Some("application/pdf".to_owned());
    UploadRecord { state: UploadState::Aborted, stranger, ..upload() }
}

/// One that a hook didn't want.
fn unwanted_upload() -> UploadRecord {
    let objection = Some(Objection { status: 422, detail: "Not this one.".to_owned() });
    UploadRecord { state: UploadState::Aborted, objection, ..upload() }
}

fn text(lang: &str, kind: TextKind) -> TextTrack {
    TextTrack {
        lang: lang.to_owned(),
        label: "Déjà".to_owned(),
        kind,
        ordinal: 1,
        stored: 7,
        cut: None,
    }
}

/// A video with text.
fn video_with_text() -> VideoRecord {
    VideoRecord {
        texts: vec![text("zh-Hant", TextKind::Forced)],
        captions: vec![text("de", TextKind::Captions)],
        chapters: vec![Chapter { start: 0.5, end: 2.25, title: "One".to_owned() }],
        ..video()
    }
}

/// A video whose playback tokens were taken back.
fn video_with_revoked_tokens() -> VideoRecord {
    VideoRecord { playback_revoked_at: Some(UnixMillis(1_700_000_000_123)), ..video() }
}

/// A job on an upload whose file was damaged.
fn job_anew() -> JobRecord {
    JobRecord { live: true, anew: true, ..job() }
}

/// Reads the golden file of a type's present version and compares both ways.
fn check<R: Record + PartialEq + Debug>(record: R) {
    check_kind("", record);
}

/// As [`check`], for a record of a kind that has fields which others lack.
fn check_kind<R: Record + PartialEq + Debug>(kind: &str, record: R) {
    let name = format!("{}{kind}.{}", R::NAME, R::VERSION);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&name);
    let written = encode(&record).expect("it is small enough");
    let Ok(golden) = std::fs::read(&path) else {
        std::fs::write(&path, &written).expect("the directory is there");
        panic!("{name} was missing and has been written: look at it and commit it");
    };
    assert_eq!(decode::<R>(&golden).expect("it is readable"), record, "{name}");
    assert_eq!(String::from_utf8_lossy(&golden), String::from_utf8_lossy(&written), "{name}");
}

/// Today's program reads every stored type as it was first written, and writes it the same.
#[test]
fn records_keep_their_bytes() {
    check(upload());
    check_kind("-part", upload_part());
    check_kind("-final", upload_final());
    check_kind("-chunks", upload_in_chunks());
    check_kind("-draft", draft_upload());
    check_kind("-grows", upload_that_grows());
    check_kind("-refused", refused_upload());
    check_kind("-unwanted", unwanted_upload());
    check_kind("-bounded", bounded_upload());
    check_kind("-granted", granted_upload());
    check(part());
    check(video());
    check_kind("-granted", granted_video());
    check_kind("-text", video_with_text());
    check_kind("-pictures", video_with_pictures());
    check_kind("-chosen", video_with_choice());
    check_kind("-sounds", video_with_sounds());
    check_kind("-revoked", video_with_revoked_tokens());
    check(trashed());
    check(cleanup());
    check(delivery());
    check(job());
    check_kind("-small", small_job());
    check_kind("-less", job_with_less());
    check_kind("-anew", job_anew());
    check_kind("-turn", job_set_back());
    check_kind("-killed", job_killed());
    let mut paces = Paces::default();
    let load = Load::of(
        &SourceFacts { duration: 2.0, ..SourceFacts::default() },
        &[RenditionPlan::sample("360p")],
        "veryfast",
    );
    paces.note(&load, ByteCount(1 << 20), 12.5, 10.0);
    check(paces);
    check(LineRecord { turn: 193, begun: 7, is_paused: true });
    let now = UnixMillis(1_700_000_000_000);
    check(Watch { seen_at: now, held: Some((now, now.plus_ms(86_400_000))) });
    check(token());
    check(grant());
    check_kind("-callback", callback_delivery());
    check_kind("-limits", token_with_limits());
    check(user());
    check_kind("-disabled", disabled_user());
    check(session(Holder::Token(TokenId::from_bytes(bytes(4)))));
    check_kind("-user", session(Holder::User(user().id, Epoch(3))));
    let known = session(Holder::User(user().id, Epoch(3)));
    let [browser, system] = ["Firefox", "Linux"].map(|name| Some(name.to_owned()));
    check_kind("-known", SessionRecord { browser, system, ..known });
    check(login_code());
    check(figures());
    check_kind("-waited", Figures { waited_ms: 61_000, ..figures() });
}

/// A record of a later program is refused by name and number, and damage never panics.
#[test]
fn later_versions_and_damage_are_refused() {
    let mut bytes = encode(&job()).expect("it is small enough");
    bytes[0] = 2;
    match decode::<JobRecord>(&bytes) {
        Err(StateError::Unreadable(why)) => {
            assert_eq!(why, "job: it has version 2, this program knows 1");
        }
        other => panic!("{other:?}"),
    }
    bytes[0] = 1;
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let damaged = decode::<JobRecord>(&bytes[..cut]);
        assert!(matches!(damaged, Err(StateError::Unreadable(_))), "{cut}");
    }
}

/// No value is longer than the database keeps in its own pages.
#[test]
fn records_are_bounded() {
    let mut record = video();
    record.description = "x".repeat(VALUE_BYTES_MAX);
    assert_eq!(encode(&record), Err(StateError::TooLarge));
}

/// What is kept beside an original gives back everything that people wrote.
#[test]
fn facts_rebuild_what_people_wrote() {
    let before = video();
    let after = VideoRecord::from_facts(before.to_facts());
    assert_eq!(after.to_facts(), before.to_facts());
    assert_eq!((after.state, after.playable), (VideoState::Queued, false));
}
